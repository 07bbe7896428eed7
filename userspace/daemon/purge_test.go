// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairway-project/fairway/userspace/store"
)

// A purge of a directory that isn't the daemon's alone takes what is the
// daemon's, and nothing else.
func TestPurgeLeavesOthersFiles(t *testing.T) {
	for _, others := range []bool{false, true} {
		c := testConfig(t)
		locked, err := lockDirs(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(noteModes(c.Root, c.Datapath), os.WriteFile(filepath.Join(c.Root, store.FileName), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		letter := filepath.Join(c.Root, "letters", "1")
		if others {
			if err := errors.Join(os.Mkdir(filepath.Dir(letter), 0o700), os.WriteFile(letter, []byte("dear"), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		d := &daemon{config: c, log: slog.New(slog.DiscardHandler)}
		if err := errors.Join(d.purgeDirs(), locked.release()); err != nil {
			t.Fatal(err)
		}
		left, err := filepath.Glob(filepath.Join(c.Root, "*"))
		if err != nil || others && len(left) != 1 || !others && len(left) != 0 {
			t.Errorf("with files of others %v: left %q, %v", others, left, err)
		}
		if _, err := os.Stat(c.Root); errors.Is(err, fs.ErrNotExist) == others {
			t.Errorf("with files of others %v: root: %v", others, err)
		}
		if _, err := os.Stat(c.RunDir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("run-dir: %v", err)
		}
	}
}
