// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// tcx attaches by links pinned in dir.
type tcx struct{ dir string }

func (t *tcx) path(index int, p Program) string {
	return filepath.Join(t.dir, fmt.Sprintf("%d-%s", index, p))
}

func attachPoint(p Program) ebpf.AttachType {
	if p.ingress() {
		return ebpf.AttachTCXIngress
	}
	return ebpf.AttachTCXEgress
}

func (t *tcx) attach(index int, p Program, prog loaded, keep bool) error {
	there, err := t.renew(index, p, prog, keep)
	if err != nil || there {
		return err
	}
	return t.create(index, p, prog.Program)
}

// renew makes sure that a link that is on the device has the program, unless it is to keep
// its own, and forgets one that was for a device that is gone.
func (t *tcx) renew(index int, p Program, prog loaded, keep bool) (there bool, err error) {
	path := t.path(index, p)
	pinned, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("pinned link %s: %w", path, err)
	}
	defer pinned.Close()
	there, err = onDevice(pinned, index, p)
	if err != nil {
		return false, err
	}
	if there {
		if keep {
			return true, nil
		}
		err = update(pinned, prog)
	}
	if there && !errors.Is(err, unix.ENOLINK) {
		return true, err
	}
	// The link was for a device that is gone; its number is another's now.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("pinned link: %w", err)
	}
	return false, nil
}

// replace doesn't attach where the link isn't on the device: the directory may be that
// of a process in another network namespace, where the number is another device's.
func (t *tcx) replace(index int, p Program, prog loaded) error {
	path := t.path(index, p)
	pinned, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pinned link %s: %w", path, err)
	}
	defer pinned.Close()
	there, err := onDevice(pinned, index, p)
	if err != nil || !there {
		return err
	}
	err = update(pinned, prog)
	if errors.Is(err, unix.ENOLINK) {
		// The device went since it was listed, and its programs with it.
		return nil
	}
	return err
}

// create attaches and pins. A crash in between leaves no trace: the link goes with
// its descriptor.
func (t *tcx) create(index int, p Program, prog *ebpf.Program) error {
	l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: prog, Attach: attachPoint(p)})
	if err != nil {
		return err
	}
	defer l.Close()
	if err := os.MkdirAll(t.dir, 0o700); err != nil {
		return fmt.Errorf("directory of links: %w", err)
	}
	if err := l.Pin(t.path(index, p)); err != nil {
		return fmt.Errorf("pin link %s: %w", t.path(index, p), err)
	}
	return nil
}

// settle has nothing to do: what is attached is a link.
func (t *tcx) settle(int, Program, loaded) error { return nil }

func (t *tcx) sweep() ([]Attachment, error) { return t.list() }

// checkRoom finds room: links of several instances are side by side on a device.
func (t *tcx) checkRoom() error { return nil }

func (t *tcx) close() error { return nil }

func (t *tcx) detach(index int, p Program) error {
	return unpin(t.path(index, p))
}

func (t *tcx) list() ([]Attachment, error) {
	var all []Attachment
	names, err := names(t.dir)
	for _, name := range names {
		index, p, ok := splitLinkName(name)
		if !ok {
			continue
		}
		there, err := unpinIfGone(filepath.Join(t.dir, name))
		if err != nil {
			return nil, err
		}
		if there {
			all = append(all, Attachment{Index: index, Program: p, How: "tcx"})
		}
	}
	return all, err
}

func (t *tcx) attached() (map[ebpf.ProgramID]bool, error) {
	all := make(map[ebpf.ProgramID]bool)
	names, err := names(t.dir)
	for _, name := range names {
		if _, _, ok := splitLinkName(name); !ok {
			continue
		}
		id, err := linkedProgram(filepath.Join(t.dir, name))
		if err != nil {
			return nil, err
		}
		all[id] = true
	}
	return all, err
}

// linkedProgram returns the program of a pinned link, 0 if it is gone.
func linkedProgram(path string) (ebpf.ProgramID, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("pinned link %s: %w", path, err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return 0, fmt.Errorf("pinned link %s: %w", path, err)
	}
	return info.Program, nil
}

func (t *tcx) forget(index int, p Program) error {
	_, err := unpinIfGone(t.path(index, p))
	return err
}

// unpinIfGone removes a link that its device has left behind.
func unpinIfGone(path string) (there bool, err error) {
	there, err = deviceLives(path)
	if err != nil || there {
		return there, err
	}
	return false, unpin(path)
}

// deviceLives asks the link only: unlike the device it answers the same in every
// network namespace.
func deviceLives(path string) (bool, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("pinned link %s: %w", path, err)
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return false, fmt.Errorf("pinned link %s: %w", path, err)
	}
	t := info.TCX()
	return t != nil && t.Ifindex != 0, nil
}

// onDevice asks the device and not only the link: a link that was left behind by
// a device says so, but one whose device went to another namespace doesn't.
func onDevice(l link.Link, index int, p Program) (bool, error) {
	info, err := l.Info()
	if err != nil {
		return false, fmt.Errorf("link info: %w", err)
	}
	if t := info.TCX(); t == nil || int(t.Ifindex) != index {
		return false, nil
	}
	found, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: attachPoint(p)})
	if errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("device %d: %w", index, err)
	}
	return slices.ContainsFunc(found.Programs, func(a link.AttachedProgram) bool {
		id, ok := a.LinkID()
		return ok && id == info.ID
	}), nil
}

// update replaces the program of a link in one step, unless it is the same.
func update(l link.Link, prog loaded) error {
	info, err := l.Info()
	if err != nil {
		return fmt.Errorf("link info: %w", err)
	}
	if info.Program == prog.id {
		return nil
	}
	if err := l.Update(prog.Program); err != nil {
		return fmt.Errorf("replace program: %w", err)
	}
	return nil
}

// unpin removes a pinned link, which detaches it if nobody else holds it.
func unpin(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pinned link %s: %w", path, err)
	}
	defer l.Close()
	// Not left to the last close, so that it is off when this returns. Links
	// of devices that are gone answer ENOLINK or, when defunct, EINVAL.
	if d, ok := l.(interface{ Detach() error }); ok {
		if err := d.Detach(); err != nil && !errors.Is(err, unix.ENOLINK) && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("detach link %s: %w", path, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pinned link: %w", err)
	}
	return nil
}

// splitLinkName is the inverse of the name that path builds.
func splitLinkName(name string) (int, Program, bool) {
	number, program, ok := strings.Cut(name, "-")
	index, err := strconv.Atoi(number)
	return index, Program(program), ok && err == nil && index > 0
}

// names returns the entries of dir, none if it isn't there.
func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all, err
}
