// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
)

// Program names a program that is attached to devices.
type Program string

// The programs of devices.
const (
	FromContainer Program = object.DatapathProgFromContainer
	ToContainer   Program = object.DatapathProgToContainer
	FromUplink    Program = object.DatapathProgFromUplink
	ToUplink      Program = object.DatapathProgToUplink
)

// Attachment is a program on a device, or on the cgroup root.
type Attachment struct {
	// Index is the device's ifindex, 0 for the cgroup root.
	Index   int
	Program Program
	// How is tcx, clsact, xdp native, xdp generic or cgroup.
	How string
}

// attacher is one of the ways to attach programs to devices.
type attacher interface {
	// attach makes sure that the program is on the device. Another version of
	// it that is there is replaced, or left to Switch if keep is set.
	attach(index int, p Program, prog loaded, keep bool) error
	// replace makes a program that is on the device this version of it, and leaves
	// a device of the calling thread's namespace alone that hasn't got it.
	replace(index int, p Program, prog loaded) error
	// detach is no error if the program isn't there, or the device.
	detach(index int, p Program) error
	// forget removes what is kept for a device that is gone.
	forget(index int, p Program) error
	// list returns all that is attached, and forgets what was on devices that
	// are gone.
	list() ([]Attachment, error)
	// settle makes a program that is on the device stay there as well as it can.
	settle(index int, p Program, prog loaded) error
	// sweep forgets what was on devices that are gone, from a thread of any network
	// namespace, and returns what it needn't ask a namespace for.
	sweep() ([]Attachment, error)
	// attached returns the programs that are on devices, with those on devices of other
	// network namespaces that it knows of.
	attached() (map[ebpf.ProgramID]bool, error)
	// checkRoom refuses a network namespace that another instance has taken.
	checkRoom() error
	// close frees descriptors.
	close() error
}

func newAttacher(cfg Config, tcxAvailable bool) (attacher, error) {
	if tcxAvailable {
		return newStaged(cfg.linksDir()), nil
	}
	c := &clsact{dir: cfg.linksDir()}
	var err error
	if cfg.Others {
		c.maps, err = mapIDs(cfg.mapsDir())
	}
	return c, err
}

// Attach attaches a program to the device with this ifindex, behind the programs
// of others. Doing it again changes nothing. Where that takes the kernel long, a container's
// device gets a program in a quicker way at first; Settle makes it like others. While the
// directory's BPF filesystem is unmounted it fails with ErrNotMounted.
func (l *Loader) Attach(index int, p Program) error {
	prog, err := l.program(p)
	if err != nil {
		return err
	}
	// A filter needs no pin, but goes on with programs that are pinned.
	err = l.checkMounted()
	if err == nil {
		err = l.devices.attach(index, p, prog, l.Switching())
	}
	if err != nil {
		return explain(fmt.Errorf("attach %s to device %d: %w", p, index, err))
	}
	return nil
}

// Settle makes the programs of a container's device stay there as well as the kernel can have
// it, which takes tens of milliseconds, in which no device can be changed. There is no moment
// without them. While older programs wait for Switch it does nothing, nor where nothing is attached.
// While the directory's BPF filesystem is unmounted it fails with ErrNotMounted.
func (l *Loader) Settle(index int) error {
	if l.Switching() {
		return nil
	}
	if err := l.checkMounted(); err != nil {
		return fmt.Errorf("settle device %d: %w", index, err)
	}
	for _, p := range []Program{FromContainer, ToContainer} {
		if err := l.devices.settle(index, p, l.programs[p]); err != nil {
			return explain(fmt.Errorf("settle %s on device %d: %w", p, index, err))
		}
	}
	return nil
}

// Sweep forgets what pins leave of programs whose devices are gone. Any thread may call it.
func (l *Loader) Sweep() error {
	_, err := l.devices.sweep()
	if err != nil {
		return err
	}
	_, err = l.xdpAttachments()
	return err
}

// Detach removes a program from the device with this ifindex. Neither has to be
// there.
func (l *Loader) Detach(index int, p Program) error {
	if err := l.devices.detach(index, p); err != nil {
		return fmt.Errorf("detach %s from device %d: %w", p, index, err)
	}
	return nil
}

// Forget removes what pins leave of a program whose device is gone. A device that went to
// another network namespace keeps its links.
func (l *Loader) Forget(index int, p Program) error {
	if err := l.devices.forget(index, p); err != nil {
		return fmt.Errorf("forget %s on device %d: %w", p, index, err)
	}
	return nil
}

// Attachments returns what is attached, by this process or an earlier one.
func (l *Loader) Attachments() ([]Attachment, error) {
	all, err := l.devices.list()
	if err != nil {
		return nil, err
	}
	xdp, err := l.xdpAttachments()
	if err != nil {
		return nil, err
	}
	cgroup, err := l.cgroupAttachments()
	return slices.Concat(all, xdp, cgroup), err
}

func (l *Loader) program(p Program) (loaded, error) {
	prog, ok := l.programs[p]
	if !ok {
		return loaded{}, fmt.Errorf("program %q: not one for devices", p)
	}
	return prog, nil
}

// loaded is a program with its ID, which is asked for once: with hundreds of
// devices the question costs more than all else about their links.
type loaded struct {
	*ebpf.Program
	id ebpf.ProgramID
}

// identify finds out the IDs of the programs of devices.
func (l *Loader) identify() error {
	o := &l.objects
	l.programs = make(map[Program]loaded)
	for p, prog := range map[Program]*ebpf.Program{
		FromContainer: o.FromContainer, ToContainer: o.ToContainer, FromUplink: o.FromUplink, ToUplink: o.ToUplink,
	} {
		id, err := programID(prog)
		if err != nil {
			return err
		}
		l.programs[p] = loaded{prog, id}
	}
	return nil
}

// ingress tells which side of a device a program is on. Ingress of a veth's host
// side is what the container sends.
func (p Program) ingress() bool { return p == FromContainer || p == FromUplink }

func programID(prog *ebpf.Program) (ebpf.ProgramID, error) {
	info, err := prog.Info()
	if err != nil {
		return 0, fmt.Errorf("program info: %w", err)
	}
	id, ok := info.ID()
	if !ok {
		return 0, fmt.Errorf("program info: no id")
	}
	return id, nil
}
