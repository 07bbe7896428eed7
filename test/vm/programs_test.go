// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/fairway-project/fairway/maps/object"
)

// TestPrograms loads every program on its own, so that one which the kernel
// refuses doesn't hide the others.
func TestPrograms(t *testing.T) {
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	maps := loadMaps(t, spec)
	budget := loadBudget(t)
	names := make([]string, 0, len(spec.Programs))
	for name := range spec.Programs {
		names = append(names, name)
	}
	slices.Sort(names)
	counted := map[string]int{}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			insns, err := verify(spec, maps, name)
			if err != nil {
				t.Fatalf("%+v", err)
			}
			counted[name] = insns
			budget.check(t, name, insns)
		})
	}
	budget.record(t, counted)
}

// loadMaps creates the maps once for all programs; the constants, which the
// kernel freezes, are each program's own.
func loadMaps(t *testing.T, spec *ebpf.CollectionSpec) map[string]*ebpf.Map {
	t.Helper()
	maps := map[string]*ebpf.Map{}
	for name, m := range spec.Maps {
		if name[0] == '.' {
			continue
		}
		created, err := ebpf.NewMap(m)
		if err != nil {
			t.Fatalf("map %s: %v", name, err)
		}
		t.Cleanup(func() { created.Close() })
		maps[name] = created
	}
	return maps
}

// verify loads one program and returns how many instructions the verifier
// looked at until it was content.
func verify(spec *ebpf.CollectionSpec, maps map[string]*ebpf.Map, name string) (int, error) {
	one := spec.Copy()
	for other := range one.Programs {
		if other != name {
			delete(one.Programs, other)
		}
	}
	loaded, err := ebpf.NewCollectionWithOptions(one, ebpf.CollectionOptions{
		MapReplacements: maps,
		Programs:        ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
	})
	if err != nil {
		return 0, err
	}
	defer loaded.Close()
	return processed(loaded.Programs[name].VerifierLog)
}

var processedLine = regexp.MustCompile(`processed (\d+) insns`)

func processed(log string) (int, error) {
	match := processedLine.FindStringSubmatch(log)
	if match == nil {
		return 0, fmt.Errorf("no count of instructions in the verifier's log %q", log)
	}
	return strconv.Atoi(match[1])
}
