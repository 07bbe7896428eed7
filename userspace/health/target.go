// SPDX-License-Identifier: Apache-2.0

package health

import (
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
)

// State is what is known of a target.
type State int

const (
	// Unknown is a target that was never asked.
	Unknown State = iota
	// Healthy targets serve.
	Healthy
	// Unhealthy targets don't.
	Unhealthy
)

// Target is what is asked, and how.
type Target struct {
	// Addr is the backend's address and the port that is asked.
	Addr netip.AddrPort
	// Check is of kind HealthTCP or HealthHTTP, with all its times and numbers set.
	Check model.Health
	// Before is what was known when the target came; later ones of the same target are
	// ignored.
	Before State
}

// same reports whether both ask the same thing.
func (t Target) same(o Target) bool { return t.Addr == o.Addr && t.Check == o.Check }

// Verdict is what became of a target.
type Verdict struct {
	Group, Target string
	// Healthy has changed, or Reason has.
	Healthy bool
	// Reason is the last check's error, "" after a success.
	Reason string
}
