// SPDX-License-Identifier: Apache-2.0

package expiry

import (
	"time"

	"github.com/fairway-project/fairway/maps/flow"
)

const (
	// From this fill on, weak states are kept a quarter as long.
	pressed = 0.80
	// From this fill on, established connections go after idleLimit.
	crowded   = 0.95
	idleLimit = time.Hour
	divisor   = 4
	// Half a connection is an accident: the other half went some other way. It
	// is given time, since the two are not inserted in one step.
	orphanLimit = 10 * time.Second
)

// Pressed reports whether a table is to be collected more eagerly in which this part of
// the entries that all may use is in use.
func Pressed(fill float64) bool { return fill >= pressed }

// Judge knows what is the same for all connections of one pass.
type Judge struct {
	Timeouts Timeouts
	// Now in jiffies, the low 32 bits, of which HZ make a second.
	Now uint32
	HZ  uint32
	// Fill is the part in use of the table's entries that all may use. It is more than 1
	// where endpoints use what is kept for them.
	Fill float64
}

// Idle returns how long ago last was. Jiffies wrap after 50 days or more, and last
// may be a moment ahead of Now, which is 0.
func (j Judge) Idle(last uint32) time.Duration {
	const ahead = 60
	age := j.Now - last
	if age > -(ahead * j.HZ) {
		return 0
	}
	return time.Duration(age) * time.Second / time.Duration(j.HZ)
}

// Fresh reports whether a half that was last seen then can't have expired,
// whatever its twin is. It saves most lookups of twins.
func (j Judge) Fresh(last uint32) bool {
	shortest := j.Timeouts.shortest()
	if Pressed(j.Fill) {
		shortest /= divisor
	}
	return j.Idle(last) < min(shortest, orphanLimit)
}

// Connection is what the verdict depends on.
type Connection struct {
	Proto                  uint8
	OriginState, TwinState flow.State
	OriginSeen, TwinSeen   uint32
	// OriginBegun and TwinBegun are when the first packet of each direction came; not
	// for TCP.
	OriginBegun, TwinBegun uint32
}

// ConnectionOf returns the facts of a connection in the table.
func ConnectionOf(origin, twin *flow.Half) Connection {
	return Connection{
		Proto:       origin.Proto,
		OriginState: origin.State, OriginSeen: origin.LastSeen, OriginBegun: origin.Begun,
		TwinState: twin.State, TwinSeen: twin.LastSeen, TwinBegun: twin.Begun,
	}
}

// Left returns for how long the connection is still kept without packets; 0 or
// less means that it has expired.
func (j Judge) Left(c Connection) time.Duration {
	idle := min(j.Idle(c.OriginSeen), j.Idle(c.TwinSeen))
	s := j.StateOf(c)
	timeout := s.Timeout
	switch {
	case s.Weak && Pressed(j.Fill):
		timeout /= divisor
	case !s.Weak && j.Fill >= crowded:
		timeout = min(timeout, idleLimit)
	}
	return timeout - idle
}

// OrphanExpired reports whether a half without the other has had its time.
func (j Judge) OrphanExpired(last uint32) bool { return j.Idle(last) >= orphanLimit }
