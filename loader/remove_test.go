// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairway-project/fairway/maps/object"
)

// What doesn't load any more can be removed all the same.
func TestRemoveLoadsNothing(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	i.do(t, func() error {
		return errors.Join(first.Attach(dev, FromUplink), first.AttachXDP(dev, false), first.AttachSockets())
	})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	replaceMap(t, i.pin(t, object.DatapathMapFlows4))
	i.do(t, func() error {
		if l, err := Open(i.cfg); err == nil {
			return errors.Join(errors.New("a map of another layout was adopted"), l.Close())
		}
		return errors.Join(Remove(i.cfg), Remove(i.cfg))
	})
	if left := i.programs(t, dev); len(left) != 0 {
		t.Errorf("programs are left: %v", left)
	}
}

// A directory that isn't on a BPF filesystem has nothing of ours.
func TestRemoveLeavesFiles(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), RunDir: t.TempDir()}
	file := filepath.Join(cfg.Dir, "maps", "of-a-city")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, nil, 0o600), Remove(cfg)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}
