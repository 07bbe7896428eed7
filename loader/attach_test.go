// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

// A device with the number of one that is gone gets its own link.
func TestAttachAfterDeviceWasRecreated(t *testing.T) {
	i := newInstance(t)
	l := i.open(t)
	defer l.Close()
	add := func() error {
		d := veth("up0")
		d.Index = 77
		return netlink.LinkAdd(d)
	}
	i.do(t, func() error {
		return errors.Join(add(), l.Attach(77, FromUplink),
			remove(77), add(), l.Attach(77, FromUplink))
	})
	if got := i.programs(t, 77); len(got) != 1 {
		t.Errorf("programs on the new device: %v", got)
	}
	i.do(t, l.Uninstall)
}

// Links of devices that are gone leave no pins behind.
func TestListForgetsGoneDevices(t *testing.T) {
	i := newInstance(t)
	l := i.open(t)
	defer l.Close()
	dev := i.device(t, "up0")
	i.do(t, func() error {
		return errors.Join(l.Attach(dev, FromUplink), remove(dev))
	})
	got, err := l.Attachments()
	if err != nil || len(got) != 0 {
		t.Errorf("attachments %v, %v", got, err)
	}
	if left, _ := names(l.linksDir()); len(left) != 0 {
		t.Errorf("pins are left: %v", left)
	}
	i.do(t, l.Uninstall)
}

// Started in another network namespace than the last time, a process finds links of
// devices that aren't there. Devices that have their numbers get no program, and those
// that the links are for keep theirs.
func TestLinksOfAnotherNamespaceAreLeftAlone(t *testing.T) {
	i, other := newInstance(t), newInstance(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	i.do(t, func() error { return first.Attach(dev, FromUplink) })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	other.do(t, func() error {
		d := veth("lan0")
		d.Index = dev
		return netlink.LinkAdd(d)
	})
	before := i.programs(t, dev)
	moved := &instance{cfg: i.cfg, netns: other.netns}
	second := moved.open(t)
	defer second.Close()
	other.do(t, func() error { return second.Forget(dev, FromUplink) })
	if got := other.programs(t, dev); len(got) != 0 {
		t.Errorf("programs on a device of that namespace: %v", got)
	}
	if got := i.programs(t, dev); len(before) != 1 || !cmp.Equal(got, before) {
		t.Errorf("programs on the device: %v, then %v", before, got)
	}
	i.do(t, second.Uninstall)
	if left := i.programs(t, dev); len(left) != 0 {
		t.Errorf("programs are left: %v", left)
	}
}

// A device may go between being listed and being served: no reason not to start.
func TestReplaceOnGoneDevice(t *testing.T) {
	i := newInstance(t)
	l := i.open(t)
	defer l.Close()
	dev := i.device(t, "gone0")
	i.do(t, func() error {
		return errors.Join(l.Attach(dev, FromUplink), remove(dev),
			l.replace(Attachment{Index: dev, Program: FromUplink, How: "tcx"}))
	})
	i.do(t, l.Uninstall)
}

// Programs of others stay, before and after ours come and go.
func TestForeignProgramsStay(t *testing.T) {
	i := newInstance(t)
	l := i.open(t)
	defer l.Close()
	dev := i.device(t, "up0")
	foreign := passProgram(t)
	i.do(t, func() error {
		return errors.Join(attachForeign(t, dev, foreign), l.Attach(dev, FromUplink))
	})
	id, _ := programID(foreign)
	if got := i.programs(t, dev); len(got) != 2 || got[0] != id {
		t.Errorf("programs %v, want the foreign one %d and then ours", got, id)
	}
	i.do(t, l.Uninstall)
	if got := i.programs(t, dev); len(got) != 1 || got[0] != id {
		t.Errorf("programs %v, want the foreign one %d", got, id)
	}
}

// attachForeign attaches a program the way that the kernel offers.
func attachForeign(t *testing.T, dev int, p *ebpf.Program) error {
	if haveTCX() == nil {
		l, err := link.AttachTCX(link.TCXOptions{Interface: dev, Program: p, Attach: ebpf.AttachTCXIngress})
		if err == nil {
			t.Cleanup(func() { l.Close() })
		}
		return err
	}
	attrs := filterAttrs(dev, FromUplink)
	attrs.Priority, attrs.Handle = 1, 1
	return errors.Join(netlink.QdiscAdd(qdisc(dev)),
		netlink.FilterAdd(&netlink.BpfFilter{FilterAttrs: attrs, Fd: p.FD(), Name: "foreign", DirectAction: true}))
}

func passProgram(t *testing.T) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "foreign", Type: ebpf.SchedCLS, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// A start says everything again: what is attached already has to cost little, and
// asking for a program's ID doesn't, in objects or in time.
func TestAttachAgainIsCheap(t *testing.T) {
	// One of them asks whether the BPF filesystem is mounted.
	const most = 36
	i := newInstance(t)
	l := i.open(t)
	defer l.Close()
	dev := i.device(t, "up0")
	i.do(t, func() error { return l.Attach(dev, FromUplink) })
	i.do(t, func() error {
		var err error
		again := testing.AllocsPerRun(10, func() { err = errors.Join(err, l.Attach(dev, FromUplink)) })
		if again > most {
			t.Errorf("attaching again allocates %.0f objects, want at most %d", again, most)
		}
		return err
	})
	i.do(t, l.Uninstall)
}
