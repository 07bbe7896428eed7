// SPDX-License-Identifier: Apache-2.0

package table

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
)

func TestAllAndDelete(t *testing.T) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Hash, KeySize: 8, ValueSize: 4, MaxEntries: 4})
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[uint64]uint32{1: 10, 2: 20} {
		if err := m.Put(k, v); err != nil {
			t.Fatal(err)
		}
	}
	all, err := All(m, "numbers", Same[uint64], Slot)
	if diff := cmp.Diff(map[uint64]uint16{1: 10, 2: 20}, all); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for range 2 { // the second finds it gone
		if err := Delete(m, uint64(1), "number %d", 1); err != nil {
			t.Error(err)
		}
	}
	if all, err = All(m, "numbers", Same[uint64], Slot); err != nil || len(all) != 1 {
		t.Errorf("left %v, %v", all, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Delete(m, uint64(2), "number %d", 2); err == nil || !strings.HasPrefix(err.Error(), "number 2: ") {
		t.Errorf("of a closed map: %v", err)
	}
	if _, err := All(m, "numbers", Same[uint64], Slot); err == nil || !strings.HasPrefix(err.Error(), "numbers: ") {
		t.Errorf("of a closed map: %v", err)
	}
}
