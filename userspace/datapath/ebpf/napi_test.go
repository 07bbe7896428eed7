// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/netns"
)

// inner is a namespace for the inner ends of devices.
func (w *world) inner() string {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), "inner")
	if err := netns.Create(path); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := netns.Delete(path); err != nil {
			w.t.Error(err)
		}
	})
	return path
}

// into moves the inner end of a device.
func (w *world) into(path, device string) {
	w.t.Helper()
	w.do(func() error {
		ns, err := netns.Open(path)
		if err != nil {
			return err
		}
		defer ns.Close()
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		return netlink.LinkSetNsFd(l, ns.Fd())
	})
}

func setUp(device string) error {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

// In whichever order the ends of a veth are set up, moved and given NAPI: an
// endpoint counts as one that takes frames only if the kernel sends them.
func TestEnableNAPI(t *testing.T) {
	for name, c := range map[string]struct {
		upBefore, innerUp bool
		want              error
	}{
		"as the engine does":         {},
		"outer end up, as Docker's":  {upBefore: true, want: errInnerDown},
		"both up, after a restart":   {upBefore: true, innerUp: true},
		"outer end not up yet again": {innerUp: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			e := w.endpoint(1)
			e.Netns = w.inner()
			try := func() (err error) {
				w.do(func() error { err = enableNAPI(e); return nil })
				return err
			}
			up := func() { w.do(func() error { return setUp("veth1") }) }
			if c.upBefore {
				up()
			}
			w.into(e.Netns, "veth1p")
			innerUp := func() {
				if err := netns.Do(e.Netns, func() error { return setUp("veth1p") }); err != nil {
					t.Fatal(err)
				}
			}
			if c.innerUp {
				innerUp()
			}
			if err := try(); !errors.Is(err, c.want) {
				t.Fatalf("at first: %v, want %v", err, c.want)
			}
			up()
			innerUp()
			if c.want != nil {
				if err := try(); err != nil {
					t.Fatalf("again: %v", err)
				}
			}
			w.do(func() error {
				takes, err := takesXDP(e.HostIndex)
				if err == nil && !takes {
					t.Error("the kernel sends it no frames")
				}
				return err
			})
		})
	}
}
