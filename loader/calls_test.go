// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/maps/object"
)

// generations returns how many programs those of devices can go on with, by the names of
// the directories of pinned programs.
func (i *instance) generations(t *testing.T) map[string]int {
	t.Helper()
	pins, err := names(i.cfg.programsDir())
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int)
	for _, pin := range pins {
		m, err := ebpf.LoadPinnedMap(filepath.Join(i.cfg.programsDir(), pin, object.DatapathMapCalls), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		var key, program uint32
		all[pin] = 0
		for it := m.Iterate(); it.Next(&key, &program); {
			all[pin]++
		}
	}
	return all
}

// callable is how many programs others go on with.
func callable(t *testing.T) int {
	t.Helper()
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	m := spec.Maps[object.DatapathMapCalls]
	if len(m.Contents) != int(m.MaxEntries) {
		t.Fatalf("%d programs for %d places", len(m.Contents), m.MaxEntries)
	}
	return len(m.Contents)
}

// Another setting of the constants makes another generation. What programs go on with lasts as
// long as one of them is attached, whenever the processes end.
func TestArraysOfPrograms(t *testing.T) {
	i, n := newInstance(t), callable(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	i.do(t, func() error { return first.Attach(dev, FromUplink) })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{first.fingerprint: n}, i.generations(t)); diff != "" {
		t.Errorf("after the end of the process (-want +got):\n%s", diff)
	}
	i.cfg.FirstPacket = true
	second := i.open(t)
	defer second.Close()
	if diff := cmp.Diff(map[string]int{second.fingerprint: n}, i.generations(t)); diff != "" || first.fingerprint == second.fingerprint {
		t.Errorf("after the programs were replaced (-want +got):\n%s", diff)
	}
	i.do(t, second.Uninstall)
}

// Programs on a device of another network namespace keep what they go on with.
func TestArraysOfProgramsElsewhere(t *testing.T) {
	if haveTCX() != nil {
		t.Skip("without tcx programs don't go with a device")
	}
	i, other, n := newInstance(t), newInstance(t), callable(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	i.do(t, func() error { return first.Attach(dev, FromUplink) })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	moved := &instance{cfg: i.cfg, netns: other.netns}
	other.do(t, func() error {
		d := veth("lan0")
		d.Index = dev
		return netlink.LinkAdd(d)
	})
	second := moved.open(t)
	defer second.Close()
	if diff := cmp.Diff(map[string]int{first.fingerprint: n, second.fingerprint: n}, i.generations(t)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	i.do(t, second.Uninstall)
}

// A generation that somebody took a pin out of serves what is attached until that is
// replaced, and is gone then.
func TestIncompleteGeneration(t *testing.T) {
	i, n := newInstance(t), callable(t)
	dev := i.device(t, "up0")
	first := i.open(t)
	i.do(t, func() error { return first.Attach(dev, FromUplink) })
	if err := errors.Join(first.Close(), os.Remove(filepath.Join(first.generationDir(), object.DatapathProgToUplink))); err != nil {
		t.Fatal(err)
	}
	second := i.open(t)
	defer second.Close()
	if diff := cmp.Diff(map[string]int{first.fingerprint: n}, i.generations(t)); diff != "" || second.Adopted() {
		t.Errorf("adopted %t (-want +got):\n%s", second.Adopted(), diff)
	}
	i.do(t, second.Uninstall)
}

func TestAwaitPrograms(t *testing.T) {
	if err := errors.Join(awaitPrograms(), awaitPrograms()); err != nil {
		t.Error(err)
	}
}
