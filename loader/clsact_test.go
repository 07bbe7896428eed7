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

	"github.com/fairway-project/fairway/userspace/nl"
)

// What kernels before 6.6 use works on this one too.
func newClsact(t *testing.T) (*instance, *clsact, int) {
	t.Helper()
	i := newInstance(t)
	return i, &clsact{dir: t.TempDir()}, i.device(t, "up0")
}

// filters returns the names of the filters on a device, ingress first.
func (i *instance) filters(t *testing.T, index int) []string {
	t.Helper()
	var names []string
	i.do(t, func() error {
		device := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: index}}
		for _, p := range []Program{FromUplink, ToUplink} {
			filters, err := nl.FilterList(nil, device, parent(p))
			if err != nil {
				return err
			}
			for _, f := range filters {
				names = append(names, f.(*netlink.BpfFilter).Name)
			}
		}
		return nil
	})
	return names
}

func (i *instance) hasClsact(t *testing.T, index int) bool {
	t.Helper()
	found := false
	i.do(t, func() error {
		qdiscs, err := nl.QdiscList(nil, nil)
		for _, q := range qdiscs {
			found = found || q.Type() == "clsact" && q.Attrs().LinkIndex == index
		}
		return err
	})
	return found
}

func TestClsactAttachReplaceDetach(t *testing.T) {
	i, c, dev := newClsact(t)
	one, two := passProgram(t), passProgram(t)
	i.do(t, func() error {
		return errors.Join(c.attach(dev, FromUplink, identified(t, one), false), c.attach(dev, ToUplink, identified(t, one), false), c.attach(dev, FromUplink, identified(t, one), false))
	})
	want := []string{"fairway/from_uplink", "fairway/to_uplink"}
	if got := i.filters(t, dev); !cmp.Equal(got, want) {
		t.Errorf("filters %v, want %v", got, want)
	}
	if got := i.filterProgram(t, c, dev); got != mustID(t, one) {
		t.Errorf("program %d, want %d", got, mustID(t, one))
	}
	i.do(t, func() error { return c.attach(dev, FromUplink, identified(t, two), true) })
	if got := i.filterProgram(t, c, dev); got != mustID(t, one) {
		t.Error("the program was replaced before Switch")
	}
	i.do(t, func() error { return c.attach(dev, FromUplink, identified(t, two), false) })
	if got := i.filterProgram(t, c, dev); got != mustID(t, two) {
		t.Errorf("program %d, want %d", got, mustID(t, two))
	}
	i.do(t, func() error {
		all, err := c.list()
		if len(all) != 2 || all[0].How != "clsact" || all[0].Index != dev {
			t.Errorf("list: %+v", all)
		}
		return err
	})
	i.do(t, func() error {
		return errors.Join(c.detach(dev, FromUplink), c.detach(dev, ToUplink), c.detach(dev, ToUplink))
	})
	if i.hasClsact(t, dev) {
		t.Error("our clsact qdisc is left")
	}
	if left, _ := names(c.dir); len(left) != 0 {
		t.Errorf("marks are left: %v", left)
	}
}

func (i *instance) filterProgram(t *testing.T, c *clsact, index int) ebpf.ProgramID {
	t.Helper()
	var id ebpf.ProgramID
	i.do(t, func() error {
		f, err := c.find(index, FromUplink)
		if f != nil {
			id = ebpf.ProgramID(f.Id)
		}
		return err
	})
	return id
}

func mustID(t *testing.T, p *ebpf.Program) ebpf.ProgramID {
	t.Helper()
	id, err := programID(p)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func identified(t *testing.T, p *ebpf.Program) loaded {
	t.Helper()
	return loaded{p, mustID(t, p)}
}

// A qdisc or filter of somebody else is there before, meanwhile and afterwards.
func TestClsactOfOthersStays(t *testing.T) {
	for name, foreignFirst := range map[string]bool{"before ours": true, "after ours": false} {
		t.Run(name, func(t *testing.T) {
			i, c, dev := newClsact(t)
			p := passProgram(t)
			foreign := func() error {
				if err := netlink.QdiscAdd(qdisc(dev)); err != nil && !errors.Is(err, os.ErrExist) {
					return err
				}
				attrs := filterAttrs(dev, FromUplink)
				attrs.Priority, attrs.Handle = 1, 1
				return netlink.FilterAdd(&netlink.BpfFilter{FilterAttrs: attrs, Fd: p.FD(), Name: "foreign", DirectAction: true})
			}
			ours := func() error { return c.attach(dev, FromUplink, identified(t, p), false) }
			steps := []func() error{foreign, ours}
			if !foreignFirst {
				steps = []func() error{ours, foreign}
			}
			i.do(t, func() error { return errors.Join(steps[0](), steps[1](), c.detach(dev, FromUplink)) })
			if got := i.filters(t, dev); !cmp.Equal(got, []string{"foreign"}) {
				t.Errorf("filters %v, want the foreign one", got)
			}
		})
	}
}

// A qdisc without filters that isn't ours stays too.
func TestEmptyClsactOfOthersStays(t *testing.T) {
	i, c, dev := newClsact(t)
	p := passProgram(t)
	i.do(t, func() error {
		return errors.Join(netlink.QdiscAdd(qdisc(dev)), c.attach(dev, FromUplink, identified(t, p), false), c.detach(dev, FromUplink))
	})
	if !i.hasClsact(t, dev) {
		t.Error("the qdisc of somebody else is gone")
	}
}

// Replacing is for devices that have a program, of any version.
func TestClsactReplaceAttachesNothing(t *testing.T) {
	i, c, dev := newClsact(t)
	one, two := passProgram(t), passProgram(t)
	i.do(t, func() error { return c.replace(dev, FromUplink, identified(t, one)) })
	if i.hasClsact(t, dev) {
		t.Error("a device without a program got one")
	}
	i.do(t, func() error {
		return errors.Join(c.attach(dev, FromUplink, identified(t, one), false), c.replace(dev, FromUplink, identified(t, two)))
	})
	if got := i.filterProgram(t, c, dev); got != mustID(t, two) {
		t.Errorf("program %d, want %d", got, mustID(t, two))
	}
	i.do(t, func() error { return errors.Join(remove(dev), c.replace(dev, FromUplink, identified(t, one))) })
}

func TestClsactForeignFilterInOurPlace(t *testing.T) {
	i, c, dev := newClsact(t)
	p := passProgram(t)
	i.do(t, func() error {
		err := errors.Join(netlink.QdiscAdd(qdisc(dev)),
			netlink.FilterAdd(&netlink.BpfFilter{FilterAttrs: filterAttrs(dev, FromUplink), Fd: p.FD(), Name: "foreign", DirectAction: true}))
		if got := c.attach(dev, FromUplink, identified(t, p), false); got == nil {
			t.Error("a foreign filter was replaced")
		}
		return err
	})
}

func TestClsactDetachFromGoneDevice(t *testing.T) {
	i, c, dev := newClsact(t)
	p := passProgram(t)
	i.do(t, func() error {
		return errors.Join(c.attach(dev, FromUplink, identified(t, p), false), remove(dev), c.detach(dev, FromUplink))
	})
	if _, err := os.Stat(filepath.Join(c.dir, "2-clsact")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the mark is left")
	}
}

// Without tcx, the filters of an instance that works in the namespace are neither
// replaced nor removed by another. Those of one that is gone are as good as one's own.
func TestClsactFiltersOfAnotherInstance(t *testing.T) {
	first, second := newInstance(t), newInstance(t)
	dev := first.device(t, "up0")
	one, two := first.open(t), second.open(t)
	defer one.Close()
	defer two.Close()
	attach := first.clsact(t, false)
	first.do(t, func() error { return attach.attach(dev, FromUplink, one.programs[FromUplink], false) })
	for _, c := range []struct {
		name   string
		of     *instance
		others bool
		lists  int
		want   error
	}{
		{"its own", first, true, 1, nil},
		{"another's that works", second, true, 0, ErrOccupied},
		{"another's that is gone", second, false, 1, nil},
	} {
		filters := c.of.clsact(t, c.others)
		first.do(t, func() error {
			if err := filters.checkRoom(); !errors.Is(err, c.want) {
				t.Errorf("%s: room: got %v, want %v", c.name, err, c.want)
			}
			listed, err := filters.list()
			if len(listed) != c.lists {
				t.Errorf("%s: listed %v, want %d", c.name, listed, c.lists)
			}
			return err
		})
	}
	first.do(t, func() error { return expectRoom(t, second.cfg) })
	first.do(t, func() error { return uninstall(second.cfg, second.clsact(t, true)) })
	if got := first.filters(t, dev); !cmp.Equal(got, []string{"fairway/from_uplink"}) {
		t.Errorf("filters after the second was uninstalled: %v", got)
	}
	first.do(t, func() error { return uninstall(first.cfg, first.clsact(t, true)) })
	if got := first.filters(t, dev); len(got) != 0 {
		t.Errorf("filters after the first was uninstalled: %v", got)
	}
}

// expectRoom opens beside another instance, which is for kernels with tcx.
func expectRoom(t *testing.T, cfg Config) error {
	t.Helper()
	var want error
	if haveTCX() != nil {
		want = ErrOccupied
	}
	cfg.Others = true
	l, err := Open(cfg)
	if !errors.Is(err, want) {
		t.Errorf("opened beside another instance: got %v, want %v", err, want)
	}
	if err != nil {
		return nil
	}
	return l.Close()
}

// clsact is how the instance attaches on kernels without tcx.
func (i *instance) clsact(t *testing.T, others bool) attacher {
	t.Helper()
	cfg := i.cfg
	cfg.Others = others
	c, err := newAttacher(cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
