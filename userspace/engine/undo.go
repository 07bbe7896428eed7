// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"slices"
)

// undo collects how to take back the steps of an edit. An edit that failed
// runs it; one that succeeded forgets it.
type undo struct {
	steps []func() error
}

// add remembers the reverse of a step that was just done.
func (u *undo) add(step func() error) { u.steps = append(u.steps, step) }

// run takes all steps back, the last one first, and goes on after errors.
func (u *undo) run() error {
	var errs []error
	for _, step := range slices.Backward(u.steps) {
		errs = append(errs, step())
	}
	u.steps = nil
	return errors.Join(errs...)
}

// onError is to be deferred with the address of the named result: it takes all
// steps back if the edit failed, and tells what could not be taken back.
func (u *undo) onError(err *error) {
	if *err == nil {
		return
	}
	if undoErr := u.run(); undoErr != nil {
		*err = errors.Join(*err, undoErr)
	}
}
