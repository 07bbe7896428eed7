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
	"github.com/cilium/ebpf/link"
)

const cgroupPrefix = "cgroup-"

// hook is a program of sockets with its place.
type hook struct {
	name string
	at   ebpf.AttachType
	prog *ebpf.Program
}

func (l *Loader) hooks() []hook {
	p := &l.objects.DatapathPrograms
	return []hook{
		{"connect4", ebpf.AttachCGroupInet4Connect, p.Connect4},
		{"connect6", ebpf.AttachCGroupInet6Connect, p.Connect6},
		{"sendmsg4", ebpf.AttachCGroupUDP4Sendmsg, p.Sendmsg4},
		{"sendmsg6", ebpf.AttachCGroupUDP6Sendmsg, p.Sendmsg6},
		{"recvmsg4", ebpf.AttachCGroupUDP4Recvmsg, p.Recvmsg4},
		{"recvmsg6", ebpf.AttachCGroupUDP6Recvmsg, p.Recvmsg6},
		{"getpeername4", ebpf.AttachCgroupInet4GetPeername, p.Getpeername4},
		{"getpeername6", ebpf.AttachCgroupInet6GetPeername, p.Getpeername6},
	}
}

// AttachSockets attaches the programs of sockets to the root of the cgroup v2
// hierarchy, beside those of others. Doing it again changes nothing.
func (l *Loader) AttachSockets() error {
	root, err := cgroupRoot(l.cfg.CgroupPath, l.cfg.cgroupDir())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.linksDir(), 0o700); err != nil {
		return fmt.Errorf("directory of links: %w", err)
	}
	for _, h := range l.hooks() {
		if err := l.attachHook(root, h); err != nil {
			return explain(fmt.Errorf("attach %s to cgroup %s: %w", h.name, root, err))
		}
	}
	return nil
}

func (l *Loader) attachHook(root string, h hook) error {
	path := filepath.Join(l.linksDir(), cgroupPrefix+h.name)
	pinned, err := link.LoadPinnedLink(path, nil)
	if err == nil {
		defer pinned.Close()
		if l.Switching() {
			return nil
		}
		return updateHook(pinned, h.prog)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pinned link %s: %w", path, err)
	}
	// Links are always in multi mode: programs of others run as well.
	created, err := link.AttachCgroup(link.CgroupOptions{Path: root, Attach: h.at, Program: h.prog})
	if err != nil {
		return err
	}
	defer created.Close()
	if err := created.Pin(path); err != nil {
		return fmt.Errorf("pin link %s: %w", path, err)
	}
	return nil
}

func (l *Loader) cgroupAttachments() ([]Attachment, error) {
	var all []Attachment
	names, err := names(l.linksDir())
	for _, name := range names {
		if p, ok := strings.CutPrefix(name, cgroupPrefix); ok {
			all = append(all, Attachment{Program: Program(p), How: "cgroup"})
		}
	}
	return all, err
}

func replacePinned(path string, prog *ebpf.Program) error {
	pinned, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return fmt.Errorf("pinned link %s: %w", path, err)
	}
	defer pinned.Close()
	return updateHook(pinned, prog)
}

func updateHook(pinned link.Link, prog *ebpf.Program) error {
	id, err := programID(prog)
	if err != nil {
		return err
	}
	return update(pinned, loaded{prog, id})
}
