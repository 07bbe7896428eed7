// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// xdp is what Attachments tells of XDP.
func (i *instance) xdp(t *testing.T, l *Loader) (found []Attachment) {
	t.Helper()
	i.do(t, func() error {
		all, err := l.Attachments()
		for _, a := range all {
			if a.Program == UplinkXDP {
				found = append(found, a)
			}
		}
		return err
	})
	return found
}

// A device's program goes from one way of attaching to the other, to the next
// process, and away.
func TestXDPLifecycle(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	expect := func(l *Loader, how string) {
		t.Helper()
		var want []Attachment
		if how != "" {
			want = []Attachment{{Index: dev, Program: UplinkXDP, How: how}}
		}
		if diff := cmp.Diff(want, i.xdp(t, l)); diff != "" {
			t.Errorf("attachments (-want +got):\n%s", diff)
		}
	}
	for _, native := range []bool{true, true, false, false, true} {
		i.do(t, func() error { return first.AttachXDP(dev, native) })
		expect(first, string(modeOf(native)))
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := i.open(t)
	defer second.Close()
	expect(second, string(xdpNative))
	i.do(t, func() error { return errors.Join(second.DetachXDP(dev), second.DetachXDP(dev)) })
	expect(second, "")
	i.do(t, func() error { return errors.Join(second.AttachXDP(dev, true), second.Uninstall()) })
	i.do(t, func() error {
		mode, err := runsXDP(dev)
		if mode != xdpNone {
			t.Errorf("the device runs XDP after uninstall: %s", mode)
		}
		return err
	})
}

// A pin of a device that is gone doesn't stand for the next one with its number.
func TestXDPOfDeviceThatIsGone(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	l := i.open(t)
	defer l.Close()
	i.do(t, func() error { return errors.Join(l.AttachXDP(dev, true), remove(dev)) })
	if got := i.xdp(t, l); got != nil {
		t.Errorf("attachments %v", got)
	}
	i.do(t, l.Uninstall)
}

func TestXDPRefusals(t *testing.T) {
	i := newInstance(t)
	dev := i.device(t, "up0")
	l := i.open(t)
	defer l.Close()
	other, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	i.do(t, func() error {
		if err := l.AttachXDP(1, true); !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("native on loopback: %v", err)
		}
		if err := l.AttachXDP(4711, true); !errors.Is(err, unix.ENODEV) {
			t.Errorf("on no device: %v", err)
		}
		theirs, err := link.AttachXDP(link.XDPOptions{Interface: dev, Program: other})
		if err != nil {
			return err
		}
		defer theirs.Close()
		for _, native := range []bool{true, false} {
			if err := l.AttachXDP(dev, native); !errors.Is(err, ErrForeignXDP) {
				t.Errorf("beside another program: %v", err)
			}
		}
		return nil
	})
	i.do(t, l.Uninstall)
}
