// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// program is the absolute path of the fairway whose daemons are measured: the one that
// the options name, else the one beside this program, else PATH's.
func (o Options) program() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	beside := filepath.Join(filepath.Dir(self), "fairway")
	for _, name := range []string{o.Fairway, beside, "fairway"} {
		if name == "" {
			continue
		}
		// The run goes on in another directory.
		path, err := exec.LookPath(name)
		if err == nil {
			return filepath.Abs(path)
		}
		if o.Fairway != "" {
			return "", fmt.Errorf("--fairway: %w", err)
		}
	}
	return "", fmt.Errorf("no fairway to measure: neither %s nor in PATH; name one with --fairway", beside)
}
