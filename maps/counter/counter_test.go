// SPDX-License-Identifier: Apache-2.0

package counter

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/maptest"
	"github.com/fairway-project/fairway/maps/object"
)

// Sums go over all CPUs that may be there.
func TestSums(t *testing.T) {
	maps := maptest.New(t)
	table := New(maps)
	cpus := ebpf.MustPossibleCPU()
	verdicts := make([]object.DatapathCounter, cpus)
	endpoints := make([]object.DatapathEndpointCounters, cpus)
	for i := range cpus {
		verdicts[i] = object.DatapathCounter{Packets: 1, Bytes: 100}
		endpoints[i].Receive = object.DatapathCounter{Packets: 2, Bytes: 10}
		endpoints[i].Transmit = object.DatapathCounter{Packets: 3, Bytes: 20}
	}
	const toUplinkPass = 3*3 + 1
	if err := maps.Verdicts.Put(uint32(toUplinkPass), verdicts); err != nil {
		t.Fatal(err)
	}
	if err := maps.EndpointStats.Put(uint32(9), endpoints); err != nil {
		t.Fatal(err)
	}
	n := uint64(cpus)
	got, err := table.Verdicts(object.DatapathProgramPROG_TO_UPLINK, object.DatapathVerdictVERDICT_PASS)
	if err != nil || got != (Counter{Packets: n, Bytes: 100 * n}) {
		t.Errorf("verdicts %+v, %v", got, err)
	}
	want := Endpoint{Receive: Counter{2 * n, 10 * n}, Transmit: Counter{3 * n, 20 * n}}
	if got, err := table.Endpoint(9); err != nil || got != want {
		t.Errorf("endpoint %+v, want %+v, %v", got, want, err)
	}
	if err := table.Reset(9); err != nil {
		t.Fatal(err)
	}
	if got, err := table.Endpoint(9); err != nil || got != (Endpoint{}) {
		t.Errorf("after Reset: %+v, %v", got, err)
	}
}
