// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
)

// Every thread of a side is in its namespace and on its CPU.
func TestSideIsInItsPlace(t *testing.T) {
	e := newEnds(t)
	want, err := netns.Open(e.clientNS)
	must(t, err)
	defer want.Close()
	id, err := want.ID()
	must(t, err)
	// The threads are there once it answers.
	_, err = e.client.Counts(t.Context())
	must(t, err)
	tasks, err := os.ReadDir("/proc/" + itoa(e.client.PID()) + "/task")
	must(t, err)
	if len(tasks) < 2 {
		t.Fatalf("%d threads", len(tasks))
	}
	for _, task := range tasks {
		dir := "/proc/" + itoa(e.client.PID()) + "/task/" + task.Name()
		ns, err := netns.Open(dir + "/ns/net")
		must(t, err)
		got, err := ns.ID()
		must(t, errors.Join(err, ns.Close()))
		if got != id {
			t.Errorf("thread %s is in another namespace", task.Name())
		}
		status, err := os.ReadFile(dir + "/status")
		must(t, err)
		if !strings.Contains(string(status), "Cpus_allowed_list:\t0\n") {
			t.Errorf("thread %s may run elsewhere than on CPU 0", task.Name())
		}
	}
}

// The caller's thread is what it was before.
func TestStartLeavesTheCallerAlone(t *testing.T) {
	var before, after unix.CPUSet
	must(t, unix.SchedGetaffinity(0, &before))
	newEnds(t)
	must(t, unix.SchedGetaffinity(0, &after))
	if before != after {
		t.Errorf("CPUs were %v, are %v", before, after)
	}
}

func TestSideEndsWithItsInput(t *testing.T) {
	s, err := Start(Place{CPU: AnyCPU})
	must(t, err)
	_, err = s.Serve(t.Context(), Service{Kind: RR, Addr: netip.MustParseAddrPort("127.0.0.1:0"), Flows: 16})
	must(t, err)
	for range 2 {
		must(t, s.Close())
	}
}

func TestCancelledJobKillsTheSide(t *testing.T) {
	e := newEnds(t)
	s, err := Start(Place{Netns: e.clientNS, CPU: 0})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = s.Run(ctx, Job{
		Kind: RR, Targets: []netip.AddrPort{e.serve(t, RR, e.address, 1)}, Flows: 1, Duration: time.Minute,
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if s.Close() == nil {
		t.Error("a side that was killed ended well")
	}
}

// Waiting takes no CPU: slices of others run meanwhile.
func TestIdleSidesSleep(t *testing.T) {
	e := newEnds(t)
	for _, k := range Kinds() {
		for _, flows := range []int{1, 16} {
			e.run(t, Job{Kind: k, Targets: []netip.AddrPort{e.serve(t, k, e.address, flows)}, Flows: flows})
		}
	}
	before := switches(t, e.client.PID()) + switches(t, e.server.PID())
	const interval = 500 * time.Millisecond
	time.Sleep(interval)
	if n := switches(t, e.client.PID()) + switches(t, e.server.PID()) - before; n > 100 {
		t.Errorf("idle sides were scheduled %d times within %v", n, interval)
	}
}

// switches is how often the threads of a process waited.
func switches(t *testing.T, pid int) (sum int) {
	t.Helper()
	tasks, err := os.ReadDir("/proc/" + itoa(pid) + "/task")
	must(t, err)
	for _, task := range tasks {
		status, err := os.ReadFile("/proc/" + itoa(pid) + "/task/" + task.Name() + "/status")
		must(t, err)
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				sum += atoi(t, strings.TrimSpace(rest))
			}
		}
	}
	return sum
}
