// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/object"
)

// A generation is the programs of one load, and the array of programs that those of devices
// go on with (bpf/calls.h), pinned in a directory that is named by a fingerprint of all that
// they were made of. It is filled under another name first, so one with its name is whole.
//
// The kernel empties an array of programs when its last pin and descriptor are gone, whoever
// runs programs that use it. So a generation is pinned before anything of it is attached,
// and goes when nothing of it is attached or runs any more.

// unfinished begins the name of a generation that is being pinned, or was when a
// process was killed. (A BPF filesystem takes no dots.)
const unfinished = "unfinished-"

// fingerprint is of the object, its constants, the tables that it works with and the
// kernel that it was loaded into. Numbers of maps are never given twice.
func fingerprint(spec *ebpf.CollectionSpec, pinned map[string]*ebpf.Map) (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("version of the kernel: %w", err)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%x %s %s\n", object.Hash(), unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:]))
	for _, name := range slices.Sorted(maps.Keys(spec.Variables)) {
		fmt.Fprintf(h, "%s %x\n", name, spec.Variables[name].Value)
	}
	for _, name := range slices.Sorted(maps.Keys(pinned)) {
		info, err := pinned[name].Info()
		if err != nil {
			return "", fmt.Errorf("map %s: %w", name, err)
		}
		id, _ := info.ID()
		fmt.Fprintf(h, "%s %d\n", name, id)
	}
	return hex.EncodeToString(h.Sum(nil))[:hashLength], nil
}

func (l *Loader) generationDir() string { return filepath.Join(l.cfg.programsDir(), l.fingerprint) }

func (l *Loader) unfinishedDir() string {
	return filepath.Join(l.cfg.programsDir(), unfinished+l.fingerprint)
}

// adopt opens the generation with this process's fingerprint, if it is pinned. The maps
// stay the caller's.
func (l *Loader) adopt(pinned map[string]*ebpf.Map) (bool, error) {
	dir := l.generationDir()
	if !exists(dir) {
		return false, nil
	}
	var err error
	for name, at := range l.members() {
		switch at := at.(type) {
		case **ebpf.Program:
			*at, err = ebpf.LoadPinnedProgram(filepath.Join(dir, name), nil)
		case **ebpf.Map:
			if own := pinned[name]; own != nil {
				*at, err = own.Clone()
			} else {
				*at, err = ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
			}
		}
		if err != nil {
			return false, l.giveUp(dir, name, err)
		}
	}
	return true, nil
}

// givenUp begins the name of a generation that can't be opened, whole. What is attached may need it
// until it is replaced.
const givenUp = "incomplete-"

// giveUp puts a generation aside that somebody took something out of, or put something
// else into.
func (l *Loader) giveUp(dir, name string, why error) error {
	l.cfg.Logger.Warn("pinned programs are incomplete and are loaded again", "dir", dir, "missing", name, "err", why)
	aside := filepath.Join(l.cfg.programsDir(), givenUp+l.fingerprint)
	err := errors.Join(l.objects.Close(), os.RemoveAll(aside), os.Rename(dir, aside))
	l.objects = object.DatapathObjects{}
	if err != nil {
		return fmt.Errorf("pinned programs: %w", err)
	}
	return nil
}

// keep pins this process's programs, for one that comes after it.
func (l *Loader) keep(spec *ebpf.CollectionSpec) error {
	dir := l.generationDir()
	making := l.unfinishedDir()
	if err := errors.Join(os.RemoveAll(making), os.MkdirAll(making, 0o700)); err != nil {
		return fmt.Errorf("directory of programs: %w", err)
	}
	for name, at := range l.members() {
		var err error
		switch at := at.(type) {
		case **ebpf.Program:
			err = (*at).Pin(filepath.Join(making, name))
		case **ebpf.Map:
			if goesWithPrograms(name, spec.Maps[name]) {
				err = (*at).Pin(filepath.Join(making, name))
			}
		}
		if err != nil {
			return explain(fmt.Errorf("pin %s: %w", name, err))
		}
	}
	if err := os.Rename(making, dir); err != nil {
		return fmt.Errorf("directory of programs: %w", err)
	}
	return nil
}

// takeBackGeneration undoes keep, as far as it came, before anything is attached.
func (l *Loader) takeBackGeneration() error {
	if l.fingerprint == "" || l.adopted {
		return nil
	}
	err := errors.Join(os.RemoveAll(l.unfinishedDir()), os.RemoveAll(l.generationDir()))
	if err != nil {
		return fmt.Errorf("directory of programs: %w", err)
	}
	return nil
}

// dropGenerations removes those that nothing is attached of any more. Of what was replaced a
// moment ago, a processor may still be at something.
func (l *Loader) dropGenerations() error {
	all, err := names(l.cfg.programsDir())
	if err != nil {
		return fmt.Errorf("older programs: %w", err)
	}
	all = slices.DeleteFunc(all, func(name string) bool { return name == l.fingerprint })
	if len(all) == 0 {
		return nil
	}
	attached, err := l.devices.attached()
	if err == nil {
		err = awaitPrograms()
	}
	if err != nil {
		return fmt.Errorf("older programs: %w", err)
	}
	var errs []error
	for _, name := range all {
		dir := filepath.Join(l.cfg.programsDir(), name)
		used, err := holdsAny(dir, attached)
		if err == nil && !used {
			err = os.RemoveAll(dir)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("older programs: %w", err)
	}
	return nil
}

// holdsAny reports whether one of the programs of devices that are pinned in dir is among
// these: on a device of another network namespace it is left alone.
func holdsAny(dir string, attached map[ebpf.ProgramID]bool) (bool, error) {
	for _, p := range []Program{FromContainer, ToContainer, FromUplink, ToUplink} {
		prog, err := ebpf.LoadPinnedProgram(filepath.Join(dir, string(p)), nil)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, fmt.Errorf("pinned program %s: %w", filepath.Join(dir, string(p)), err)
		}
		id, err := programID(prog)
		if err := errors.Join(err, prog.Close()); err != nil {
			return false, err
		}
		if attached[id] {
			return true, nil
		}
	}
	return false, nil
}

// members are where the object's programs and maps are kept, as pointers to the fields, by
// the names that they have in it.
func (l *Loader) members() map[string]any {
	all := make(map[string]any)
	for _, part := range []any{&l.objects.DatapathPrograms, &l.objects.DatapathMaps} {
		v := reflect.ValueOf(part).Elem()
		for i := range v.NumField() {
			name, ok := v.Type().Field(i).Tag.Lookup("ebpf")
			if ok && !strings.HasPrefix(name, ".") {
				all[name] = v.Field(i).Addr().Interface()
			}
		}
	}
	return all
}
