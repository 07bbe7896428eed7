// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Switch ends the use of maps with another layout: it replaces the programs that
// use them, each in one step, and then removes those maps. Call it when the new
// maps hold all that the older ones did. It does nothing if there are none, and
// goes on where an earlier call was interrupted.
func (l *Loader) Switch() error {
	if !l.switching {
		return nil
	}
	if err := l.replaceAll(); err != nil {
		return err
	}
	schemas, err := names(filepath.Join(l.cfg.Dir, "maps"))
	if err != nil {
		return fmt.Errorf("directory of maps: %w", err)
	}
	var errs []error
	for _, s := range schemas {
		if s != l.schema {
			errs = append(errs, os.RemoveAll(filepath.Join(l.cfg.Dir, "maps", s)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("older maps: %w", err)
	}
	l.switching = false
	l.replaced = &Replacement{Of: l.cfg.maker(), At: time.Now()}
	l.cfg.tellName()
	return nil
}

// replaceAll replaces the programs of every attachment by this process's, and
// detaches those that this version doesn't have.
func (l *Loader) replaceAll() error {
	attachments, err := l.Attachments()
	if err != nil {
		return err
	}
	var errs []error
	for _, a := range attachments {
		errs = append(errs, l.replace(a))
	}
	return explain(errors.Join(errs...))
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

// otherSchemas reports whether maps with another layout are there.
func (l *Loader) otherSchemas() (bool, error) {
	schemas, err := names(filepath.Join(l.cfg.Dir, "maps"))
	if err != nil {
		return false, fmt.Errorf("directory of maps: %w", err)
	}
	for _, s := range schemas {
		if s != l.schema {
			return true, nil
		}
	}
	return false, nil
}

// Uninstall removes everything that this or an earlier process made below the
// directory and on devices: maps first, then links, so that programs guard until
// the end, then the directory. The Loader can only be closed afterwards.
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
		return errors.Join(detachAll(devices), cfg.removeName(), removePrivateCgroup(cfg.cgroupDir()))
	}
	return uninstall(cfg, devices)
}

func uninstall(cfg Config, devices attacher) error {
	links := cfg.linksDir()
	var errs []error
	if err := os.RemoveAll(filepath.Join(cfg.Dir, "maps")); err != nil {
		errs = append(errs, fmt.Errorf("maps: %w", err))
	}
	errs = append(errs, detachAll(devices))
	remaining, err := names(links)
	errs = append(errs, err)
	for _, name := range remaining {
		if !strings.HasSuffix(name, "-clsact") {
			errs = append(errs, unpin(filepath.Join(links, name)))
		}
	}
	if err := os.RemoveAll(links); err != nil {
		errs = append(errs, fmt.Errorf("links: %w", err))
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
