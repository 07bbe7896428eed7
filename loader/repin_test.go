// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// mounted is an instance with a BPF filesystem of its own.
func mounted(t *testing.T) *instance {
	t.Helper()
	i := newInstance(t)
	i.cfg.Dir = filepath.Join(t.TempDir(), "pins")
	return i
}

func (i *instance) unmount(t *testing.T) {
	t.Helper()
	if err := unix.Unmount(i.cfg.Dir, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
}

// While the BPF filesystem is unmounted nothing is attached, by a filter neither: it would
// go on with programs that end with the process. What was attached is settled later.
func TestAttachWhileUnmounted(t *testing.T) {
	i := mounted(t)
	early, late := i.device(t, "c0"), i.device(t, "c1")
	l := i.open(t)
	defer l.Close()
	i.do(t, func() error { return errors.Join(l.Attach(early, FromContainer), l.Attach(early, ToContainer)) })
	held, err := os.Open(i.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	i.unmount(t)
	i.do(t, func() error {
		for what, err := range map[string]error{"attach": l.Attach(late, FromContainer), "settle": l.Settle(early)} {
			if !errors.Is(err, ErrNotMounted) {
				t.Errorf("%s while unmounted: %v, want %v", what, err, ErrNotMounted)
			}
		}
		return nil
	})
	if i.hasClsact(t, late) {
		t.Error("a device was given a qdisc while nothing could be pinned")
	}
	i.do(t, func() error {
		return errors.Join(PinAgain(i.cfg.Dir, held), held.Close(), l.Attach(late, FromContainer), l.Attach(late, ToContainer), l.Settle(early), l.Settle(late))
	})
	for _, dev := range []int{early, late} {
		if got := i.programs(t, dev); len(got) != 2 {
			t.Errorf("device %d has programs %v, want both", dev, got)
		}
	}
	i.do(t, l.Uninstall)
}

// Filters whose marks went with the pins are removed as well.
func TestRemoveAfterUnmount(t *testing.T) {
	i := mounted(t)
	dev := i.device(t, "c0")
	l := i.open(t)
	i.do(t, func() error { return errors.Join(l.Attach(dev, FromContainer), l.Attach(dev, ToContainer)) })
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{filterPrefix + string(FromContainer), filterPrefix + string(ToContainer)}
	if got := i.filters(t, dev); !cmp.Equal(got, want) {
		t.Fatalf("filters %v, want %v", got, want)
	}
	i.unmount(t)
	i.do(t, func() error { return errors.Join(Remove(i.cfg), os.Remove(i.cfg.Dir)) })
	if got := i.filters(t, dev); len(got) > 0 {
		t.Errorf("filters %v are left", got)
	}
}
