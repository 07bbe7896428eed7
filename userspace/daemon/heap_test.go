// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// heapEnv makes the test binary a process whose heap it is.
const heapEnv = "FAIRWAY_TEST_HEAP"

// TestLimitFollowsTheState: a state that is larger than the memory limit doesn't keep
// the collector running, what a burst left is given back, and an operator's limit is left alone.
func TestLimitFollowsTheState(t *testing.T) {
	switch os.Getenv(heapEnv) {
	case "ours":
		collections(t)
		return
	case "bursts":
		burst(t)
		return
	case "operator's":
		followed := debug.SetMemoryLimit(-1)
		setLimits(slog.New(slog.DiscardHandler))
		runtime.GC()
		if now := debug.SetMemoryLimit(-1); now != followed || now != 60<<20 {
			t.Errorf("the limit is %d, want %d", now, 60<<20)
		}
		return
	}
	for whose, env := range map[string][]string{"ours": nil, "bursts": nil, "operator's": {"GOMEMLIMIT=60MiB"}} {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestLimitFollowsTheState$")
		cmd.Env = append(append(os.Environ(), heapEnv+"="+whose), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", whose, err, out)
		}
	}
}

// collections counts them while a process with much to keep makes garbage.
func collections(t *testing.T) {
	const block, kept, made = 64 << 10, 3 * memoryLimit / (64 << 10), 20 * memoryLimit / (64 << 10)
	setLimits(slog.New(slog.DiscardHandler))
	if now := debug.SetMemoryLimit(-1); now != memoryLimit {
		t.Errorf("the limit is %d at first, want %d", now, memoryLimit)
	}
	var state [][]byte
	for range kept {
		state = append(state, make([]byte, block))
	}
	// Two, since what follows a collection runs beside the program.
	runtime.GC()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var garbage []byte
	for range made {
		garbage = make([]byte, block)
	}
	runtime.ReadMemStats(&after)
	// Each time that largePercent of what is kept has been made: 20 / 0.9.
	if n := after.NumGC - before.NumGC; n > 30 {
		t.Errorf("%d collections for %d MiB of garbage beside %d MiB of state", n, made*block>>20, kept*block>>20)
	}
	runtime.KeepAlive(state)
	runtime.KeepAlive(garbage)
}

// burst waits until what was made for a while only is the kernel's again.
func burst(t *testing.T) {
	followHeap(10*time.Millisecond, 0)
	var state [][]byte
	for range 1024 {
		state = append(state, make([]byte, 64<<10))
	}
	runtime.KeepAlive(state)
	state = nil
	s := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	left := func() uint64 {
		metrics.Read(s)
		return s[0].Value.Uint64() + s[1].Value.Uint64()
	}
	for deadline := time.Now().Add(time.Minute); left() > worthwhile; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d MiB are kept", left()>>20)
		}
	}
}

func TestLimitFor(t *testing.T) {
	for live, want := range map[uint64]int64{0: memoryLimit, memoryLimit / 2: memoryLimit, memoryLimit: 2 * memoryLimit} {
		if got := limitFor(live); got != want {
			t.Errorf("%d live: %d, want %d", live, got, want)
		}
	}
}
