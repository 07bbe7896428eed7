// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
)

// Feature is a capability of the kernel that is found out by trying it.
type Feature struct {
	Name string
	// Since is the first kernel version that has it.
	Since string
	// Required features have no substitute.
	Required bool
	// With and Without tell what is done in either case.
	With, Without string
	probe         func() error
}

// Result is a probed feature.
type Result struct {
	Feature
	// Err is nil if the kernel has the feature. It wraps ebpf.ErrNotSupported if
	// it hasn't, and is something else if that couldn't be found out.
	Err error
}

// Available reports whether the feature can be used.
func (r Result) Available() bool { return r.Err == nil }

// Used tells what is done with the feature, or instead of it.
func (r Result) Used() string {
	if r.Available() {
		return r.With
	}
	return r.Without
}

// UnsupportedError names a feature that the kernel lacks.
type UnsupportedError struct {
	Name, Since string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s not supported (requires >= %s)", e.Name, e.Since)
}

// Unwrap makes errors.Is(err, ebpf.ErrNotSupported) true.
func (e *UnsupportedError) Unwrap() error { return ebpf.ErrNotSupported }

// Probe tries all features, in the calling thread's network namespace.
func Probe() []Result {
	var all []Result
	for _, f := range features() {
		err := f.probe()
		if errors.Is(err, ebpf.ErrNotSupported) {
			err = &UnsupportedError{Name: f.Name, Since: f.Since}
		}
		all = append(all, Result{Feature: f, Err: err})
	}
	return all
}

// Missing returns one error that names every required feature that the kernel
// lacks or that couldn't be probed, or nil.
func Missing(results []Result) error {
	var errs []error
	for _, r := range results {
		if r.Required && r.Err != nil {
			errs = append(errs, r.Err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return explain(&missingError{text: "kernel: " + strings.Join(texts, "; "), errs: errs})
}

// missingError is errors.Join on one line.
type missingError struct {
	text string
	errs []error
}

func (e *missingError) Error() string   { return e.text }
func (e *missingError) Unwrap() []error { return e.errs }

func available(results []Result, name string) bool {
	for _, r := range results {
		if r.Name == name {
			return r.Available()
		}
	}
	return false
}
