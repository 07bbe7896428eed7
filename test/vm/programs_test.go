// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/root"
)

// firstPacket is what stands behind the names of programs that are loaded for
// first-packet mode.
const firstPacket = "+first-packet"

// TestPrograms loads every program on its own, so that one which the kernel
// refuses doesn't hide the others, and those that netfilter's judgement concerns for
// both modes.
func TestPrograms(t *testing.T) {
	root.Need(t)
	if err := rlimit.RemoveMemlock(); err != nil {
		t.Fatal(err)
	}
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	// Nobody to go on with, so that each program is loaded alone.
	spec.Maps[object.DatapathMapCalls].Contents = nil
	maps := loadMaps(t, spec)
	budget, kernel := loadBudget(t), series(t)
	names := make([]string, 0, len(spec.Programs))
	for name := range spec.Programs {
		names = append(names, name)
		if seesPackets(spec.Programs[name]) {
			names = append(names, name+firstPacket)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			loaded, err := load(spec, maps, name)
			if err != nil {
				t.Fatal(explain(err))
			}
			defer loaded.Close()
			insns, err := processed(loaded.Programs[strings.TrimSuffix(name, firstPacket)].VerifierLog)
			if err != nil {
				t.Fatal(err)
			}
			budget.checkVerified(t, kernel, name, insns)
		})
	}
	budget.checkGone(t, kernel, names)
}

// seesPackets tells programs of devices, and those that they go on with, from others.
func seesPackets(p *ebpf.ProgramSpec) bool {
	return p.Type == ebpf.SchedCLS || p.Type == ebpf.XDP
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

// load loads one program and keeps the verifier's log.
func load(spec *ebpf.CollectionSpec, maps map[string]*ebpf.Map, name string) (*ebpf.Collection, error) {
	one := spec.Copy()
	name, judged := strings.CutSuffix(name, firstPacket)
	if err := one.Variables[object.DatapathVarFirstPacket].Set(judged); err != nil {
		return nil, err
	}
	for other := range one.Programs {
		if other != name {
			delete(one.Programs, other)
		}
	}
	return ebpf.NewCollectionWithOptions(one, ebpf.CollectionOptions{
		MapReplacements: maps,
		Programs:        ebpf.ProgramOptions{LogLevel: logLevel()},
	})
}

// explain adds the end of the verifier's log; with FAIRWAY_VERIFIER_LOG set that
// is the instructions that led to the refusal, which takes minutes to write.
func explain(err error) string {
	var refused *ebpf.VerifierError
	if !errors.As(err, &refused) {
		return err.Error()
	}
	last := refused.Log[max(0, len(refused.Log)-60):]
	return strings.Join(append([]string{err.Error()}, last...), "\n")
}

func logLevel() ebpf.LogLevel {
	if os.Getenv("FAIRWAY_VERIFIER_LOG") != "" {
		return ebpf.LogLevelInstruction | ebpf.LogLevelStats
	}
	return ebpf.LogLevelStats
}

var processedLine = regexp.MustCompile(`processed (\d+) insns`)

// processed returns how many instructions the verifier looked at until it was
// content.
func processed(log string) (int, error) {
	match := processedLine.FindStringSubmatch(log)
	if match == nil {
		return 0, fmt.Errorf("no count of instructions in the verifier's log %q", log)
	}
	return strconv.Atoi(match[1])
}
