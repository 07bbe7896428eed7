// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
)

func TestProbesOfThisKernel(t *testing.T) {
	results := Probe()
	if err := Missing(results); err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil && !errors.Is(r.Err, ebpf.ErrNotSupported) {
			t.Errorf("%s: inconclusive: %v", r.Name, r.Err)
		}
		if r.Used() == "" {
			t.Errorf("%s: nothing said of what is done (available %t)", r.Name, r.Available())
		}
	}
}

func TestMissingNamesFeatureAndVersion(t *testing.T) {
	err := Missing([]Result{
		{Feature: Feature{Name: "a", Since: "5.1", Required: true}, Err: &UnsupportedError{"a", "5.1"}},
		{Feature: Feature{Name: "b", Since: "5.2"}, Err: &UnsupportedError{"b", "5.2"}},
	})
	if want := "kernel: a not supported (requires >= 5.1)"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if !errors.Is(err, ebpf.ErrNotSupported) {
		t.Error("not an ErrNotSupported")
	}
}

func TestDefaultFlowEntries(t *testing.T) {
	for memory, want := range map[uint64]uint32{
		512 << 20: MinFlowEntries,
		4 << 30:   131072,
		16 << 30:  524288,
		1 << 40:   MaxFlowEntries,
	} {
		if got := DefaultFlowEntries(memory); got != want {
			t.Errorf("%d MiB: got %d entries, want %d", memory>>20, got, want)
		}
	}
}

// The ring's size is a power of two, because the programs take a number's low bits.
func TestRecentEntries(t *testing.T) {
	for flows, want := range map[uint32]uint32{2: 1, 8: 1, 64: 8, 65536: 8192, 100000: 16384, MaxFlowEntries: 65536} {
		if got := recentEntries(flows); got != want {
			t.Errorf("%d entries: got a ring of %d, want %d", flows, got, want)
		}
	}
}

func TestClockIsPlausible(t *testing.T) {
	c, err := NewClock()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for measured, want := range map[float64]uint32{99.2: 100, 251: 250, 290: 300, 1003: 1000} {
		if got := nearestHZ(measured); got != want {
			t.Errorf("%v: got %d, want %d", measured, got, want)
		}
	}
	again, err := c.measure()
	if err != nil || again != c.HZ() {
		t.Errorf("measured %d and then %d, %v", c.HZ(), again, err)
	}
}
