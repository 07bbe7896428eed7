// SPDX-License-Identifier: Apache-2.0

// Package maptest makes the maps of the eBPF object for the tests of the packages
// that access them, without its programs.
package maptest

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/fairway-project/fairway/maps/object"
)

// New returns new maps, with small flow tables, which go with the test.
func New(t testing.TB) *object.DatapathMaps {
	t.Helper()
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	spec.Maps[object.DatapathMapFlows4].MaxEntries = 1024
	spec.Maps[object.DatapathMapFlows6].MaxEntries = 1024
	spec.Programs = make(map[string]*ebpf.ProgramSpec)
	spec.Maps[object.DatapathMapCalls].Contents = nil
	var maps object.DatapathMaps
	if err := spec.LoadAndAssign(&maps, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := maps.Close(); err != nil {
			t.Error(err)
		}
	})
	return &maps
}
