// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
)

// Errors to be tested with errors.Is.
var (
	// ErrAllocated is a port that another publication has; it comes in a TakenError.
	ErrAllocated = errors.New("port is already allocated")
	// ErrInUse is a port that a program on the host has; it comes in a TakenError.
	ErrInUse = errors.New("address already in use")
	// ErrNotLocal is a host address that no interface of the host has.
	ErrNotLocal = errors.New("not an address of this host")
	// ErrExhausted is a range without a free port.
	ErrExhausted = errors.New("all ports are allocated")
	// ErrTooManyFiles is the limit of open files.
	ErrTooManyFiles = errors.New("too many open files, raise the daemon's RLIMIT_NOFILE (LimitNOFILE= of the unit)")
)

// TakenError tells which host port is taken.
type TakenError struct {
	HostIP   netip.Addr
	HostPort uint16
	Proto    model.Proto
	// Owner is the one that Allocate was given, empty for a foreign program.
	Owner string
}

func (e *TakenError) Error() string {
	at := netip.AddrPortFrom(e.HostIP, e.HostPort)
	if e.Owner == "" {
		return fmt.Sprintf("bind host port %s/%s: %v", at, e.Proto, ErrInUse)
	}
	return fmt.Sprintf("bind for %s failed: %v", at, ErrAllocated)
}

// Unwrap returns ErrAllocated or ErrInUse.
func (e *TakenError) Unwrap() error {
	if e.Owner == "" {
		return ErrInUse
	}
	return ErrAllocated
}
