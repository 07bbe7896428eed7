// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// stage is an attacher on a device of a container, with what it attaches.
type stage struct {
	*instance
	s          *staged
	dev        int
	from, to   loaded
	from2, to2 loaded
}

func newStage(t *testing.T) *stage {
	t.Helper()
	if haveTCX() != nil {
		t.Skip("without tcx there are filters only")
	}
	i := newInstance(t)
	st := &stage{
		instance: i, s: newStaged(pinDir(t)), dev: i.device(t, "c0"),
		from: identified(t, passProgram(t)), to: identified(t, passProgram(t)),
		from2: identified(t, passProgram(t)), to2: identified(t, passProgram(t)),
	}
	t.Cleanup(func() {
		if err := st.s.close(); err != nil {
			t.Error(err)
		}
	})
	st.do(t, st.attach)
	return st
}

// pinDir is a directory on a BPF filesystem.
func pinDir(t *testing.T) string {
	t.Helper()
	dir := "/sys/fs/bpf/fairway-test-" + random()
	if err := PrepareDir(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (st *stage) attach() error {
	return errors.Join(st.s.attach(st.dev, FromContainer, st.from, false), st.s.attach(st.dev, ToContainer, st.to, false))
}

func (st *stage) settle() error {
	return errors.Join(st.s.settle(st.dev, FromContainer, st.from), st.s.settle(st.dev, ToContainer, st.to))
}

// has compares what is on the device, ingress first.
func (st *stage) has(t *testing.T, when string, links, filters []ebpf.ProgramID) {
	t.Helper()
	var gotLinks, gotFilters []ebpf.ProgramID
	st.do(t, func() error {
		for _, p := range []Program{FromContainer, ToContainer} {
			r, err := link.QueryPrograms(link.QueryOptions{Target: st.dev, Attach: attachPoint(p)})
			if err != nil {
				return err
			}
			for _, a := range r.Programs {
				gotLinks = append(gotLinks, a.ID)
			}
			f, err := st.s.filters.find(st.dev, p)
			if err != nil {
				return err
			}
			if f != nil {
				gotFilters = append(gotFilters, ebpf.ProgramID(f.Id))
			}
		}
		return nil
	})
	if !cmp.Equal(gotLinks, links) || !cmp.Equal(gotFilters, filters) {
		t.Errorf("%s: links of %v, filters of %v, want %v and %v", when, gotLinks, gotFilters, links, filters)
	}
}

func (st *stage) lists(t *testing.T, when string, how ...string) {
	t.Helper()
	var got []string
	st.do(t, func() error {
		all, err := st.s.list()
		for _, a := range all {
			got = append(got, a.How)
			if a.Index != st.dev || !a.Program.ofContainer() {
				t.Errorf("%s: lists %+v", when, a)
			}
		}
		return err
	})
	if !cmp.Equal(got, how) {
		t.Errorf("%s: lists %v, want %v", when, got, how)
	}
}

func (st *stage) marks(t *testing.T, when string, filters, empty int) {
	t.Helper()
	f, err := st.s.marked(filtersMark)
	e, err2 := st.s.marked(emptyMark)
	if len(f) != filters || len(e) != empty || err != nil || err2 != nil {
		t.Errorf("%s: devices %v are marked to have filters and %v to have had some, want %d and %d, %v", when, f, e, filters, empty, errors.Join(err, err2))
	}
}

// A container's device has filters, then links, and nothing in the end.
func TestStaged(t *testing.T) {
	st := newStage(t)
	both := []ebpf.ProgramID{st.from.id, st.to.id}
	st.has(t, "attached", nil, both)
	st.lists(t, "attached", "clsact", "clsact")
	st.do(t, st.attach)
	st.has(t, "attached again", nil, both)
	st.marks(t, "attached again", 1, 0)
	st.do(t, st.settle)
	st.has(t, "settled", both, nil)
	st.lists(t, "settled", "tcx", "tcx")
	st.marks(t, "settled", 0, 1)
	st.do(t, func() error { return errors.Join(st.settle(), st.attach()) })
	st.has(t, "settled and attached again", both, nil)
	st.do(t, func() error { return errors.Join(st.s.detach(st.dev, FromContainer), st.s.detach(st.dev, ToContainer)) })
	st.has(t, "detached", nil, nil)
	st.marks(t, "detached", 0, 0)
	if st.hasClsact(t, st.dev) {
		t.Error("our qdisc is left")
	}
}

// Detached before it is settled, too.
func TestStagedDetach(t *testing.T) {
	st := newStage(t)
	st.do(t, func() error {
		return errors.Join(st.s.detach(st.dev, FromContainer), st.s.detach(st.dev, ToContainer), st.s.detach(st.dev, ToContainer))
	})
	st.has(t, "detached", nil, nil)
	st.marks(t, "detached", 0, 0)
	if st.hasClsact(t, st.dev) {
		t.Error("our qdisc is left")
	}
}

// A later version replaces what is there, of whatever kind, and while it has to keep older
// programs nothing changes.
func TestStagedReplace(t *testing.T) {
	for name, settled := range map[string]bool{"filters": false, "links": true} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t)
			if settled {
				st.do(t, st.settle)
			}
			have := func(when string, want ...ebpf.ProgramID) {
				t.Helper()
				if settled {
					st.has(t, when, want, nil)
				} else {
					st.has(t, when, nil, want)
				}
			}
			st.do(t, func() error { return st.s.attach(st.dev, FromContainer, st.from2, true) })
			have("kept", st.from.id, st.to.id)
			st.do(t, func() error {
				return errors.Join(st.s.replace(st.dev, FromContainer, st.from2), st.s.replace(st.dev, ToContainer, st.to2))
			})
			have("replaced", st.from2.id, st.to2.id)
			st.do(t, func() error { return st.s.attach(st.dev, FromContainer, st.from, false) })
			have("attached", st.from.id, st.to2.id)
			var of map[ebpf.ProgramID]bool
			st.do(t, func() (err error) { of, err = st.s.attached(); return err })
			if want := (map[ebpf.ProgramID]bool{st.from.id: true, st.to2.id: true}); !cmp.Equal(of, want) {
				t.Errorf("attached %v, want %v", of, want)
			}
		})
	}
}

// Whenever a process is killed while it settles a device, the next one goes on, and there
// is always a program.
func TestStagedKilledBetweenSteps(t *testing.T) {
	for name, steps := range map[string]func(st *stage) error{
		"link without a program": func(st *stage) error { return st.s.createIdle(st.dev, FromContainer) },
		"link and filter":        func(st *stage) error { return st.s.create(st.dev, FromContainer, st.from.Program) },
		"one of two":             func(st *stage) error { return st.s.settle(st.dev, FromContainer, st.from) },
		"filters without a mark of what they are": func(st *stage) error {
			return errors.Join(st.s.settle(st.dev, FromContainer, st.from), st.s.create(st.dev, ToContainer, st.to.Program), st.s.filters.dropFilter(st.dev, ToContainer))
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t)
			both := []ebpf.ProgramID{st.from.id, st.to.id}
			st.do(t, func() error { return steps(st) })
			st.do(t, func() error {
				return errors.Join(st.s.replace(st.dev, FromContainer, st.from), st.s.replace(st.dev, ToContainer, st.to))
			})
			st.do(t, func() error { return errors.Join(st.attach(), st.settle()) })
			st.has(t, "settled by the next", both, nil)
			st.do(t, func() error { return errors.Join(st.s.detach(st.dev, FromContainer), st.s.detach(st.dev, ToContainer)) })
			st.has(t, "detached", nil, nil)
			if st.hasClsact(t, st.dev) {
				t.Error("our qdisc is left")
			}
			st.marks(t, "detached", 0, 0)
		})
	}
}

// Where somebody else has the place of filters a device has links at once, and what is
// theirs stays.
func TestStagedBesideQdiscOfOthers(t *testing.T) {
	for _, kind := range []string{"clsact", "ingress"} {
		t.Run(kind, func(t *testing.T) {
			st := newStage(t)
			st.dev = st.device(t, "c1")
			foreign := &netlink.GenericQdisc{QdiscType: kind, QdiscAttrs: netlink.QdiscAttrs{
				LinkIndex: st.dev, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
			}}
			st.do(t, func() error { return netlink.QdiscAdd(foreign) })
			st.do(t, func() error { return errors.Join(st.attach(), st.attach(), st.settle()) })
			st.has(t, "attached", []ebpf.ProgramID{st.from.id, st.to.id}, nil)
			st.do(t, func() error { return errors.Join(st.s.detach(st.dev, FromContainer), st.s.detach(st.dev, ToContainer)) })
			st.has(t, "detached", nil, nil)
			st.do(t, func() error { return netlink.QdiscDel(foreign) })
		})
	}
}

// Of a device that is gone nothing stays, whether it was settled or not, and one that gets
// its number is like any other.
func TestStagedDeviceGone(t *testing.T) {
	for name, settled := range map[string]bool{"filters": false, "links": true} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t)
			if settled {
				st.do(t, st.settle)
			}
			again := func() error {
				d := veth("c0")
				d.Index = st.dev
				return netlink.LinkAdd(d)
			}
			st.do(t, func() error { return errors.Join(remove(st.dev), again(), st.attach()) })
			st.has(t, "on another device with its number", nil, []ebpf.ProgramID{st.from.id, st.to.id})
			if settled {
				st.do(t, st.settle)
			}
			st.do(t, func() error { return remove(st.dev) })
			st.do(t, st.settle)
			st.lists(t, "gone")
			st.marks(t, "gone", 0, 0)
			st.do(t, func() error { return errors.Join(again(), st.attach()) })
			if settled {
				st.do(t, st.settle)
			}
			st.do(t, func() error { return remove(st.dev) })
			st.do(t, func() error { return errors.Join(st.s.forget(st.dev, FromContainer), st.s.forget(st.dev, ToContainer)) })
			st.marks(t, "forgotten", 0, 0)
			st.do(t, func() error {
				if err := st.s.attach(st.dev, FromContainer, st.from, false); !errors.Is(err, unix.ENODEV) {
					t.Errorf("attaching to no device: got %v, want %v", err, unix.ENODEV)
				}
				return nil
			})
		})
	}
}

// A filter that is deleted with its qdisc comes back when the device is guarded again.
func TestStagedQdiscDeletedByOthers(t *testing.T) {
	st := newStage(t)
	both := []ebpf.ProgramID{st.from.id, st.to.id}
	st.do(t, func() error { return netlink.QdiscDel(qdisc(st.dev)) })
	st.has(t, "deleted", nil, nil)
	st.do(t, st.attach)
	st.has(t, "attached again", nil, both)
	st.do(t, st.settle)
	st.do(t, func() error { return netlink.QdiscDel(qdisc(st.dev)) })
	st.has(t, "settled and deleted", both, nil)
}

// A process that finds its BPF filesystem empty takes over the filters that an earlier one
// left: they would drop what their programs have to go on with elsewhere.
func TestStagedMarksGone(t *testing.T) {
	st := newStage(t)
	if err := os.RemoveAll(st.s.dir); err != nil {
		t.Fatal(err)
	}
	st.from, st.to = st.from2, st.to2
	st.do(t, st.attach)
	st.has(t, "attached again", nil, []ebpf.ProgramID{st.from2.id, st.to2.id})
	st.do(t, st.settle)
	st.has(t, "settled", []ebpf.ProgramID{st.from2.id, st.to2.id}, nil)
}

// A device whose mark is gone is settled all the same, and where a process was killed between
// link and filter the next one deletes the filter.
func TestStagedMarkGone(t *testing.T) {
	for name, next := range map[string]func(st *stage) error{
		"settled": (*stage).settle,
		"attached again with links": func(st *stage) error {
			return errors.Join(st.s.create(st.dev, FromContainer, st.from.Program), st.s.create(st.dev, ToContainer, st.to.Program), st.attach())
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t)
			if err := os.Remove(st.s.mark(filtersMark, st.dev)); err != nil {
				t.Fatal(err)
			}
			st.do(t, func() error { return next(st) })
			st.has(t, name, []ebpf.ProgramID{st.from.id, st.to.id}, nil)
			st.marks(t, name, 0, 1)
		})
	}
}

// A qdisc of somebody else with a filter in the place of ours is left alone.
func TestStagedBesideFilterOfOthers(t *testing.T) {
	st := newStage(t)
	st.dev = st.device(t, "c1")
	foreign := &netlink.BpfFilter{FilterAttrs: filterAttrs(st.dev, FromContainer), Fd: st.from2.FD(), Name: "foreign", DirectAction: true}
	st.do(t, func() error { return errors.Join(netlink.QdiscAdd(qdisc(st.dev)), netlink.FilterAdd(foreign)) })
	st.do(t, func() error {
		return errors.Join(st.attach(), st.settle(), st.attach(), st.s.detach(st.dev, FromContainer), st.s.detach(st.dev, ToContainer))
	})
	if got := st.filters(t, st.dev); !cmp.Equal(got, []string{"foreign"}) {
		t.Errorf("filters %v, want the foreign one", got)
	}
}
