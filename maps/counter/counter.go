// SPDX-License-Identifier: Apache-2.0

// Package counter reads the per-CPU counters of programs, endpoints and reasons,
// summed over the CPUs.
//
// Be aware: the programs count without atomics, one CPU after the other is read,
// and nothing stops meanwhile. A sum is exact once the traffic is.
package counter

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
)

// Counter is packets and bytes.
type Counter struct {
	Packets, Bytes uint64
}

// Add returns the sum of both.
func (c Counter) Add(o Counter) Counter {
	return Counter{Packets: c.Packets + o.Packets, Bytes: c.Bytes + o.Bytes}
}

// Endpoint counts the packets of one endpoint, as seen from the container.
type Endpoint struct {
	Receive, Transmit Counter
	// FlowsRefused and PortsRefused are connections that got no room, or no port.
	FlowsRefused, PortsRefused uint64
}

// Table is the counters of verdicts, of endpoints and of parked fragments.
type Table struct {
	verdicts, endpoints, parked *ebpf.Map
}

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table {
	return &Table{verdicts: m.Verdicts, endpoints: m.EndpointStats, parked: m.ParkedCounts}
}

// Verdicts returns how often a program gave a verdict.
func (t *Table) Verdicts(p object.DatapathProgram, v object.DatapathVerdict) (Counter, error) {
	return Read(t.verdicts, uint32(p)*uint32(object.DatapathVerdictVERDICT_MAX)+uint32(v))
}

// Parked returns how many fragments waited for the first one of their datagram.
func (t *Table) Parked(d object.DatapathDirection) (Counter, error) {
	return Read(t.parked, uint32(d))
}

// Endpoint returns the counters of an endpoint's slot.
func (t *Table) Endpoint(slot uint16) (Endpoint, error) {
	var perCPU []object.DatapathEndpointCounters
	if err := t.endpoints.Lookup(uint32(slot), &perCPU); err != nil {
		return Endpoint{}, fmt.Errorf("counters of endpoint slot %d: %w", slot, err)
	}
	var sum Endpoint
	for _, c := range perCPU {
		sum.Receive = sum.Receive.Add(count(c.Receive))
		sum.Transmit = sum.Transmit.Add(count(c.Transmit))
		sum.FlowsRefused += c.FlowsRefused
		sum.PortsRefused += c.PortsRefused
	}
	return sum, nil
}

// Reset zeroes the counters of an endpoint's slot for its next owner.
func (t *Table) Reset(slot uint16) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("counters of endpoint slot %d: %w", slot, err)
	}
	zero := make([]object.DatapathEndpointCounters, cpus)
	if err := t.endpoints.Put(uint32(slot), zero); err != nil {
		return fmt.Errorf("counters of endpoint slot %d: %w", slot, err)
	}
	return nil
}

// Read returns entry i of a per-CPU array of counters, summed.
func Read(m *ebpf.Map, i uint32) (Counter, error) {
	if m == nil {
		return Counter{}, errors.New("counter map is missing")
	}
	var perCPU []object.DatapathCounter
	if err := m.Lookup(i, &perCPU); err != nil {
		return Counter{}, fmt.Errorf("counter %d of %s: %w", i, m, err)
	}
	var sum Counter
	for _, c := range perCPU {
		sum = sum.Add(count(c))
	}
	return sum, nil
}

func count(c object.DatapathCounter) Counter {
	return Counter{Packets: c.Packets, Bytes: c.Bytes}
}
