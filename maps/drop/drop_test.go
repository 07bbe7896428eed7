// SPDX-License-Identifier: Apache-2.0

package drop

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/maptest"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/root"
)

func TestCounts(t *testing.T) {
	root.Need(t)
	maps := maptest.New(t)
	values := make([]object.DatapathCounter, ebpf.MustPossibleCPU())
	values[0] = object.DatapathCounter{Packets: 4, Bytes: 400}
	at := uint32(object.DatapathDropReasonDROP_ICC)*2 + uint32(object.DatapathDirectionDIR_TRANSMIT)
	if err := maps.Drops.Put(at, values); err != nil {
		t.Fatal(err)
	}
	counts, err := New(maps).Counts()
	if err != nil || len(counts) != 2*len(Reasons()) {
		t.Fatalf("%d counts, %v", len(counts), err)
	}
	for _, c := range counts {
		hit := c.Reason.Name == "icc" && c.Direction == object.DatapathDirectionDIR_TRANSMIT
		if hit != (c.Packets == 4) || hit != (c.Bytes == 400) {
			t.Errorf("%s, direction %d: %+v", c.Reason.Name, c.Direction, c.Counter)
		}
	}
}
