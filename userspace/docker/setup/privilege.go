// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"
	"slices"

	"github.com/fairway-project/fairway/userspace/capability"
)

// ErrPrivilege is returned where the process may not see what there is to set up.
var ErrPrivilege = errors.New("docker setup needs root: without it the firewall's rules can be neither read nor changed")

// CheckPrivilege returns ErrPrivilege where the other functions would.
func CheckPrivilege() error {
	missing, err := capability.Missing()
	if err == nil && slices.Contains(missing, capability.NetAdmin) {
		return ErrPrivilege
	}
	return err
}
