// SPDX-License-Identifier: Apache-2.0

package drop

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/counter"
	"github.com/fairway-project/fairway/maps/object"
)

// Count is how often packets of one direction were dropped for one reason.
type Count struct {
	Reason    Reason
	Direction object.DatapathDirection
	counter.Counter
}

// Table is the counters of drops.
type Table struct{ m *ebpf.Map }

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table { return &Table{m: m.Drops} }

// Counts returns the counters of all reasons and directions, zeroes too.
func (t *Table) Counts() ([]Count, error) {
	var all []Count
	for _, r := range Reasons() {
		for d := range object.DatapathDirectionDIR_MAX {
			c, err := counter.Read(t.m, uint32(r.Value)*uint32(object.DatapathDirectionDIR_MAX)+uint32(d))
			if err != nil {
				return all, fmt.Errorf("drops for %s: %w", r.Name, err)
			}
			all = append(all, Count{Reason: r, Direction: d, Counter: c})
		}
	}
	return all, nil
}
