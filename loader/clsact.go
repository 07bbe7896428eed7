// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/nl"
)

// clsact attaches by direct-action filters. A filter of ours has this priority and
// handle, and a name that begins with filterPrefix. In dir an empty directory
// <ifindex>-clsact marks the devices whose clsact qdisc is our making.
type clsact struct {
	dir string
	// maps are this instance's, where another's filters may be about; nil where all
	// that look like ours are.
	maps map[ebpf.MapID]bool
}

const (
	filterPriority = 0xfa1
	filterHandle   = 0xfa1
	filterPrefix   = "fairway/"
)

func (c *clsact) attach(index int, p Program, prog loaded, keep bool) error {
	existing, err := c.find(index, p)
	if err != nil {
		return err
	}
	if existing != nil && (keep || existing.Id == int(prog.id)) {
		return nil
	}
	if err := c.ensureQdisc(index); err != nil {
		return err
	}
	return putFilter(index, p, prog)
}

// putFilter makes our filter, or gives it another program, which the kernel does in one step
// (NLM_F_REPLACE).
func putFilter(index int, p Program, prog loaded) error {
	err := netlink.FilterReplace(&netlink.BpfFilter{
		FilterAttrs:  filterAttrs(index, p),
		Fd:           prog.FD(),
		Name:         filterPrefix + string(p),
		DirectAction: true,
	})
	if err != nil {
		return fmt.Errorf("clsact filter: %w", err)
	}
	return nil
}

func (c *clsact) replace(index int, p Program, prog loaded) error {
	existing, err := c.find(index, p)
	if existing == nil && (err == nil || errors.Is(err, unix.ENODEV)) {
		// The device went since it was listed, and its programs with it.
		return nil
	}
	if err != nil {
		return err
	}
	return c.attach(index, p, prog, false)
}

func (c *clsact) detach(index int, p Program) error {
	err := c.dropFilter(index, p)
	if errors.Is(err, unix.ENODEV) {
		return c.unmark(index)
	}
	if err != nil {
		return err
	}
	return c.dropQdisc(index)
}

// dropFilter deletes our filter, if it is there.
func (c *clsact) dropFilter(index int, p Program) error {
	existing, err := c.find(index, p)
	if existing == nil || err != nil {
		return err
	}
	err = netlink.FilterDel(&netlink.BpfFilter{FilterAttrs: filterAttrs(index, p)})
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("clsact filter: %w", err)
	}
	return nil
}

// settle has nothing to do: without tcx filters are all there is.
func (c *clsact) settle(int, Program, loaded) error { return nil }

func (c *clsact) sweep() ([]Attachment, error) { return c.list() }

func (c *clsact) close() error { return nil }

func (c *clsact) forget(index int, _ Program) error { return c.unmark(index) }

func (c *clsact) list() ([]Attachment, error) {
	qdiscs, err := nl.QdiscList(nil, nil)
	if err != nil {
		return nil, err
	}
	var all []Attachment
	there := make(map[int]bool)
	for _, q := range qdiscs {
		if q.Type() != "clsact" {
			continue
		}
		there[q.Attrs().LinkIndex] = true
		for _, p := range []Program{FromContainer, ToContainer, FromUplink, ToUplink} {
			f, err := c.find(q.Attrs().LinkIndex, p)
			if err != nil && !errors.Is(err, unix.ENODEV) {
				return nil, err
			}
			if f == nil {
				continue
			}
			mine, err := c.owns(f)
			if err != nil {
				return nil, err
			}
			if mine {
				all = append(all, Attachment{Index: q.Attrs().LinkIndex, Program: p, How: "clsact"})
			}
		}
	}
	return all, c.forgetMarks(there)
}

// attached knows of this namespace only: a filter doesn't go with a device to another one.
func (c *clsact) attached() (map[ebpf.ProgramID]bool, error) {
	on, err := c.list()
	if err != nil {
		return nil, err
	}
	all := make(map[ebpf.ProgramID]bool)
	for _, a := range on {
		f, err := c.find(a.Index, a.Program)
		if err != nil && !errors.Is(err, unix.ENODEV) {
			return nil, err
		}
		if f != nil {
			all[ebpf.ProgramID(f.Id)] = true
		}
	}
	return all, nil
}

// forgetMarks removes the marks of devices whose qdisc is gone.
func (c *clsact) forgetMarks(there map[int]bool) error {
	marks, err := names(c.dir)
	for _, name := range marks {
		index, what, _ := splitLinkName(name)
		if what == "clsact" && !there[index] {
			err = errors.Join(err, c.unmark(index))
		}
	}
	return err
}

var errForeignFilter = errors.New("a filter that isn't ours is in the place of ours")

// find returns our filter on the device, nil if there is none. A filter of
// somebody else in our place is errForeignFilter.
func (c *clsact) find(index int, p Program) (*netlink.BpfFilter, error) {
	device := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}}
	filters, err := nl.FilterList(nil, device, parent(p))
	if errors.Is(err, unix.EINVAL) {
		return nil, nil // no clsact qdisc
	}
	if err != nil {
		return nil, err
	}
	for _, f := range filters {
		if f.Attrs().Priority != filterPriority || f.Attrs().Handle != filterHandle {
			continue
		}
		b, ok := f.(*netlink.BpfFilter)
		if !ok || !strings.HasPrefix(b.Name, filterPrefix) {
			return nil, fmt.Errorf("device %d: %w, with priority %d and handle %#x", index, errForeignFilter, filterPriority, filterHandle)
		}
		if strings.TrimPrefix(b.Name, filterPrefix) == string(p) {
			return b, nil
		}
	}
	return nil, nil
}

func filterAttrs(index int, p Program) netlink.FilterAttrs {
	return netlink.FilterAttrs{
		LinkIndex: index, Parent: parent(p),
		Priority: filterPriority, Handle: filterHandle, Protocol: unix.ETH_P_ALL,
	}
}

func parent(p Program) uint32 {
	if p.ingress() {
		return netlink.HANDLE_MIN_INGRESS
	}
	return netlink.HANDLE_MIN_EGRESS
}

func qdisc(index int) *netlink.Clsact {
	return &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
}

func (c *clsact) mark(index int) string {
	return filepath.Join(c.dir, fmt.Sprintf("%d-clsact", index))
}

func (c *clsact) unmark(index int) error {
	if err := os.Remove(c.mark(index)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("mark of clsact qdisc: %w", err)
	}
	return nil
}

func (c *clsact) ensureQdisc(index int) error {
	err := netlink.QdiscAdd(qdisc(index))
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("clsact qdisc: %w", err)
	}
	// A crash before this leaves an empty qdisc behind, which does no harm.
	if err := os.MkdirAll(c.mark(index), 0o700); err != nil {
		return fmt.Errorf("mark of clsact qdisc: %w", err)
	}
	return nil
}

// dropQdisc removes the qdisc if we made it and nobody has a filter there.
func (c *clsact) dropQdisc(index int) error {
	if _, err := os.Lstat(c.mark(index)); err != nil {
		return nil
	}
	device := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: index}}
	for _, p := range []Program{FromUplink, ToUplink} {
		filters, err := nl.FilterList(nil, device, parent(p))
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
		if len(filters) > 0 {
			return nil
		}
	}
	if err := delQdisc(index); err != nil {
		return err
	}
	return c.unmark(index)
}

// delQdisc is no error if the qdisc isn't there, or the device.
func delQdisc(index int) error {
	err := netlink.QdiscDel(qdisc(index))
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("clsact qdisc: %w", err)
	}
	return nil
}
