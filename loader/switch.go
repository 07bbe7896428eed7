// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// replaceAll replaces the programs of every attachment by this process's, and
// detaches those that this version doesn't have. Uplinks come first: where tables change
// with programs, an answer from outside that finds no connection would go to the host, which
// resets it, and what a container sends comes again.
func (l *Loader) replaceAll() error {
	attachments, err := l.Attachments()
	if err != nil {
		return err
	}
	l.replacing = true
	slices.SortStableFunc(attachments, func(a, b Attachment) int { return a.rank() - b.rank() })
	var errs []error
	for _, a := range attachments {
		errs = append(errs, l.replace(a))
	}
	return explain(errors.Join(errs...))
}

// rank orders attachments for their replacement.
func (a Attachment) rank() int {
	switch a.Program {
	case FromUplink, ToUplink, UplinkXDP:
		return 0
	}
	return 1
}

func (l *Loader) replace(a Attachment) error {
	if a.How == "cgroup" {
		for _, h := range l.hooks() {
			if h.name == string(a.Program) {
				return replacePinned(filepath.Join(l.linksDir(), cgroupPrefix+h.name), h.prog)
			}
		}
		return unpin(filepath.Join(l.linksDir(), cgroupPrefix+string(a.Program)))
	}
	if a.Program == UplinkXDP {
		err := replacePinned(l.xdpPath(a.Index), l.xdpProgram(a.How == string(xdpNative)))
		if errors.Is(err, unix.ENOLINK) {
			return nil
		}
		return err
	}
	prog, err := l.program(a.Program)
	if err != nil {
		return l.devices.detach(a.Index, a.Program)
	}
	return l.devices.replace(a.Index, a.Program, prog)
}

// Uninstall removes everything that this or an earlier process made below the
// directory and on devices: maps first, then links, so that programs guard until
// the end, then the programs that those go on with, and the directory. The Loader can only be closed afterwards.
func (l *Loader) Uninstall() error { return uninstall(l.cfg, l.devices) }

// Remove is Uninstall without a Loader: it loads nothing, so that what an earlier
// process made can be removed where its programs, or the maps, are refused now. Of
// cfg only the directories and Others count.
func Remove(cfg Config) error {
	devices, err := newAttacher(cfg, haveTCX() == nil)
	if err != nil {
		return err
	}
	mounted, err := OnBPFFS(cfg.Dir)
	if err != nil {
		return err
	}
	if !mounted {
		// Nothing is pinned, and files below the directory are others'.
		return errors.Join(detachAll(devices), dropUnmarked(cfg, devices), cfg.removeName(), removePrivateCgroup(cfg.cgroupDir()))
	}
	return uninstall(cfg, devices)
}

func uninstall(cfg Config, devices attacher) error {
	links := cfg.linksDir()
	var errs []error
	if err := os.RemoveAll(cfg.mapsDir()); err != nil {
		errs = append(errs, fmt.Errorf("maps: %w", err))
	}
	errs = append(errs, detachAll(devices), dropUnmarked(cfg, devices))
	remaining, err := names(links)
	errs = append(errs, err)
	for _, name := range remaining {
		if !strings.HasSuffix(name, "-clsact") {
			errs = append(errs, unpin(filepath.Join(links, name)))
		}
	}
	for _, dir := range []string{links, cfg.programsDir()} {
		if err := os.RemoveAll(dir); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", filepath.Base(dir), err))
		}
	}
	errs = append(errs, cfg.removeName(), removePrivateCgroup(cfg.cgroupDir()), removeDir(cfg.Dir))
	return errors.Join(errs...)
}

func detachAll(devices attacher) error {
	attached, err := devices.list()
	errs := []error{err}
	for _, a := range attached {
		errs = append(errs, devices.detach(a.Index, a.Program))
	}
	return errors.Join(errs...)
}

// dropUnmarked deletes filters of containers' devices whose marks went with the pins, where
// attachers need marks to find them. Where another instance may be at work nothing tells whose
// they are.
func dropUnmarked(cfg Config, devices attacher) error {
	if _, marks := devices.(*staged); !marks || cfg.Others {
		return nil
	}
	return detachAll(&clsact{dir: cfg.linksDir()})
}
