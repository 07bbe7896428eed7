// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"strings"

	"github.com/fairway-project/fairway/userspace/capability"
)

// ErrPrivilege is returned where the process may not do what a daemon has to.
var ErrPrivilege = errors.New("needs root (or CAP_NET_ADMIN, CAP_BPF, CAP_SYS_ADMIN)")

// checkPrivilege names the capabilities that are missing.
func checkPrivilege() error {
	missing, err := capability.Missing()
	if err != nil || len(missing) == 0 {
		return err
	}
	return fmt.Errorf("%w: this process has no %s", ErrPrivilege, strings.Join(missing, ", "))
}
