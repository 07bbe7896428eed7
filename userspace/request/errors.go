// SPDX-License-Identifier: Apache-2.0

package request

import (
	"errors"
	"fmt"
)

// The kinds of errors that a client can tell apart. An owner gives its errors
// a kind with Errorf or Mark, or wraps one of these with %w; an error without a
// kind is the daemon's own failure (500).
var (
	// ErrInvalid is a request that can never work as it is (400).
	ErrInvalid = errors.New("invalid")
	// ErrNotFound is a name that nothing has (404).
	ErrNotFound = errors.New("not found")
	// ErrConflict is a request that the present state forbids: a name, an
	// address or a port taken, a network in use (409).
	ErrConflict = errors.New("conflict")
	// ErrTooLarge is a request of more bytes than are read (413).
	ErrTooLarge = errors.New("too large")
	// ErrUnavailable is a request that the daemon doesn't take any more, whatever
	// it says: it is being uninstalled (503).
	ErrUnavailable = errors.New("unavailable")
	// ErrEnding is what a wait gets when the daemon ends before the process (503).
	ErrEnding = errors.New("the daemon ends, the process goes on")
)

// kindError is an error whose kind shows in errors.Is and not in its text.
type kindError struct {
	kind error
	err  error
}

func (e *kindError) Error() string   { return e.err.Error() }
func (e *kindError) Unwrap() []error { return []error{e.kind, e.err} }

// Errorf returns an error of the given kind with a text of its own.
func Errorf(kind error, format string, args ...any) error {
	return &kindError{kind: kind, err: fmt.Errorf(format, args...)}
}

// Mark gives err a kind and leaves its text as it is; nil stays nil.
func Mark(kind, err error) error {
	if err == nil {
		return nil
	}
	return &kindError{kind: kind, err: err}
}
