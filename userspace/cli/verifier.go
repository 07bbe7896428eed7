// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/fairway-project/fairway/loader"
)

// keepVerifierLog writes to path what the verifier said of a program that it refused, of
// which the message of err has the last line only. No path is no error.
func keepVerifierLog(path string, err error) error {
	text, refused := loader.VerifierLog(err)
	if path == "" || !refused {
		return err
	}
	if werr := os.WriteFile(path, []byte(text), 0o600); werr != nil {
		return errors.Join(err, fmt.Errorf("--verifier-log: %w", werr))
	}
	return err
}
