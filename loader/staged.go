// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/nl"
)

// staged attaches by links, but gives a container's device filters first, and links when
// settle is called. For a link the kernel waits until no processor looks at the device's former
// programs (tcx_entry_sync in kernel/bpf/tcx.c), 10 to 20 ms, twice for each device, and all
// that changes devices waits meanwhile. A first filter waits for nothing of the kind; but it
// costs some 30 ns for each packet, and whoever deletes the device's qdisc deletes it too.
//
// Filters are only where this instance made the device's qdisc. In dir an empty directory
// filters-<ifindex>-clsact says that they may be there, empty-<ifindex>-clsact that they
// were, and the qdisc is left: without one it would drop packets for a moment in which it
// goes. Versions that know no such names pass them over.
type staged struct {
	*tcx
	filters clsact
	// next leaves every packet to the next program; nil until a device is settled.
	next *ebpf.Program
}

const (
	filtersMark = "filters-"
	emptyMark   = "empty-"
	markSuffix  = "-clsact"
)

func newStaged(dir string) *staged { return &staged{tcx: &tcx{dir: dir}, filters: clsact{dir: dir}} }

// ofContainer tells the programs of containers' devices, of which there are many, and
// many at once.
func (p Program) ofContainer() bool { return p == FromContainer || p == ToContainer }

func (s *staged) mark(kind string, index int) string {
	return filepath.Join(s.dir, kind+strconv.Itoa(index)+markSuffix)
}

// marked returns the devices with marks of a kind.
func (s *staged) marked(kind string) ([]int, error) {
	all, err := names(s.dir)
	var indexes []int
	for _, name := range all {
		number, ok := strings.CutPrefix(name, kind)
		number, is := strings.CutSuffix(number, markSuffix)
		if index, err := strconv.Atoi(number); ok && is && err == nil {
			indexes = append(indexes, index)
		}
	}
	return indexes, err
}

func (s *staged) has(kind string, index int) bool { return exists(s.mark(kind, index)) }

func (s *staged) attach(index int, p Program, prog loaded, keep bool) error {
	there, err := s.renew(index, p, prog, keep)
	if err != nil {
		return err
	}
	if there {
		// A process that was killed while it settled the device left the filter.
		if keep {
			return nil
		}
		return s.drop(index, p)
	}
	if !p.ofContainer() {
		return s.create(index, p, prog.Program)
	}
	err = s.filter(index, p, prog, keep)
	if err == nil || errors.Is(err, unix.ENODEV) {
		return err
	}
	// A kernel without such filters, or a qdisc of somebody else: that a device is guarded
	// counts for more than how soon.
	if linked := s.create(index, p, prog.Program); linked != nil {
		return errors.Join(linked, err)
	}
	return nil
}

// errQdiscTaken is what somebody else's qdisc is to a filter.
var errQdiscTaken = errors.New("the device has a qdisc for filters that isn't ours")

// filter attaches by a filter.
func (s *staged) filter(index int, p Program, prog loaded, keep bool) error {
	marked := s.has(filtersMark, index)
	if marked {
		existing, err := s.filters.find(index, p)
		if err != nil {
			return err
		}
		if existing != nil {
			if keep || existing.Id == int(prog.id) {
				return nil
			}
			return putFilter(index, p, prog)
		}
	}
	if err := s.ensureQdisc(index, marked); err != nil {
		return err
	}
	return putFilter(index, p, prog)
}

// ensureQdisc has the kernel tell whether the device has the qdisc: the mark may be of a
// device that is gone, whose number this one has.
func (s *staged) ensureQdisc(index int, marked bool) error {
	err := netlink.QdiscAdd(qdisc(index))
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("clsact qdisc: %w", err)
	}
	switch {
	case marked:
		return nil
	case err == nil:
		// A crash before this leaves a qdisc that nobody uses. A mark that is there is of
		// a device that is gone.
		err = errors.Join(s.unmark(index), os.MkdirAll(s.mark(filtersMark, index), 0o700))
	case s.has(emptyMark, index):
		err = os.Rename(s.mark(emptyMark, index), s.mark(filtersMark, index))
	default:
		var ours bool
		if ours, err = s.filtersMarked(index); err == nil && !ours {
			err = errQdiscTaken
		}
		return err
	}
	if err != nil {
		return fmt.Errorf("mark of filters: %w", err)
	}
	return nil
}

// filtersMarked reports whether the device is marked to have filters, and marks it where
// it has some of ours whose mark went with the pins. Their programs may go on with others in
// an array that the kernel has emptied, and drop what links let pass.
func (s *staged) filtersMarked(index int) (bool, error) {
	if s.has(filtersMark, index) {
		return true, nil
	}
	if s.has(emptyMark, index) {
		return false, nil
	}
	ours, err := s.hasFilters(index)
	if err != nil || !ours {
		return false, ignoreGone(err)
	}
	if err := os.MkdirAll(s.mark(filtersMark, index), 0o700); err != nil {
		return false, fmt.Errorf("mark of filters: %w", err)
	}
	return true, nil
}

// hasFilters reports whether one of the device's filters is ours.
func (s *staged) hasFilters(index int) (bool, error) {
	for _, p := range []Program{FromContainer, ToContainer} {
		f, err := s.filters.find(index, p)
		if err != nil && !errors.Is(err, errForeignFilter) {
			return false, err
		}
		if f != nil {
			return true, nil
		}
	}
	return false, nil
}

// settle puts a link in the place of a filter. First comes a link to a program that does
// nothing, which is what takes long, and then that becomes the link of prog: for no longer
// than it takes to delete the filter both see a packet, and there is no moment in which none does.
func (s *staged) settle(index int, p Program, prog loaded) error {
	marked, err := s.filtersMarked(index)
	if !marked || err != nil {
		return err
	}
	f, err := s.filters.find(index, p)
	if err != nil {
		return err
	}
	if f == nil {
		return s.unmarkGone(index)
	}
	there, err := s.renew(index, p, loaded{}, true)
	if err == nil && !there {
		err = s.createIdle(index, p)
	}
	if err == nil {
		_, err = s.renew(index, p, prog, false)
	}
	if err != nil {
		return ignoreGone(err)
	}
	return s.drop(index, p)
}

// createIdle makes a link to a program that does nothing.
func (s *staged) createIdle(index int, p Program) error {
	if s.next == nil {
		const tcxNext = -1
		next, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Name: "next", Type: ebpf.SchedCLS, License: "Dual BSD/GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, tcxNext), asm.Return()},
		})
		if err != nil {
			return err
		}
		s.next = next
	}
	return s.create(index, p, s.next)
}

func (s *staged) close() error {
	if s.next == nil {
		return nil
	}
	return s.next.Close()
}

func ignoreGone(err error) error {
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOLINK) {
		return nil
	}
	return err
}

// drop deletes a filter where there is one, and leaves the qdisc.
func (s *staged) drop(index int, p Program) error {
	if !p.ofContainer() {
		return nil
	}
	if marked, err := s.filtersMarked(index); !marked || err != nil {
		return err
	}
	if err := s.filters.dropFilter(index, p); err != nil {
		return ignoreGone(err)
	}
	if some, err := s.hasFilters(index); some || err != nil {
		return err
	}
	if err := os.Rename(s.mark(filtersMark, index), s.mark(emptyMark, index)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("mark of filters: %w", err)
	}
	return nil
}

func (s *staged) replace(index int, p Program, prog loaded) error {
	err := s.tcx.replace(index, p, prog)
	if !p.ofContainer() || !s.has(filtersMark, index) {
		return err
	}
	f, found := s.filters.find(index, p)
	if f != nil && found == nil && f.Id != int(prog.id) {
		found = putFilter(index, p, prog)
	}
	return errors.Join(err, ignoreGone(found))
}

func (s *staged) detach(index int, p Program) error {
	err := errors.Join(s.tcx.detach(index, p), s.drop(index, p))
	if err != nil || !s.has(emptyMark, index) {
		return err
	}
	device := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}}
	for _, p := range []Program{FromContainer, ToContainer} {
		filters, err := nl.FilterList(nil, device, parent(p))
		if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENODEV) {
			return err
		}
		if len(filters) > 0 {
			return nil
		}
	}
	if err := delQdisc(index); err != nil {
		return err
	}
	return s.unmark(index)
}

func (s *staged) unmark(index int) error {
	for _, kind := range []string{filtersMark, emptyMark} {
		if err := os.Remove(s.mark(kind, index)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("mark of filters: %w", err)
		}
	}
	return nil
}

func (s *staged) forget(index int, p Program) error {
	if err := s.tcx.forget(index, p); err != nil {
		return err
	}
	if s.linked(index) {
		return nil
	}
	return s.unmark(index)
}

// linked reports whether a link of a container's device is pinned.
func (s *staged) linked(index int) bool {
	return exists(s.path(index, FromContainer)) || exists(s.path(index, ToContainer))
}

func (s *staged) list() ([]Attachment, error) {
	all, err := s.sweep()
	if err != nil {
		return nil, err
	}
	filtered, err := s.filtered()
	for _, f := range filtered {
		all = append(all, Attachment{Index: f.LinkIndex, Program: Program(strings.TrimPrefix(f.Name, filterPrefix)), How: "clsact"})
	}
	return all, err
}

// sweep lists links only.
func (s *staged) sweep() ([]Attachment, error) {
	all, err := s.tcx.list()
	if err != nil {
		return nil, err
	}
	empty, err := s.marked(emptyMark)
	for _, index := range empty {
		if !s.linked(index) {
			err = errors.Join(err, s.unmark(index))
		}
	}
	return all, err
}

// filtered returns the filters, and forgets the marks of devices that are gone.
func (s *staged) filtered() ([]*netlink.BpfFilter, error) {
	marked, err := s.marked(filtersMark)
	if err != nil {
		return nil, err
	}
	var all []*netlink.BpfFilter
	for _, index := range marked {
		for _, p := range []Program{FromContainer, ToContainer} {
			f, err := s.filters.find(index, p)
			if err != nil {
				return nil, err
			}
			if f != nil {
				f.LinkIndex = index
				all = append(all, f)
				continue
			}
			if err := s.unmarkGone(index); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func (s *staged) unmarkGone(index int) error {
	_, err := netlink.LinkByIndex(index)
	if _, gone := errors.AsType[netlink.LinkNotFoundError](err); gone || errors.Is(err, unix.ENODEV) {
		return s.unmark(index)
	}
	return err
}

func (s *staged) attached() (map[ebpf.ProgramID]bool, error) {
	all, err := s.tcx.attached()
	if err != nil {
		return nil, err
	}
	filtered, err := s.filtered()
	for _, f := range filtered {
		all[ebpf.ProgramID(f.Id)] = true
	}
	return all, err
}
