// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// crashSteps are the changes in which the daemon is killed, each after those
// before it.
func crashSteps() [][]string {
	return [][]string{
		{"network", "create", "--ipv6", "--subnet", harness.Subnet4(numB), "--subnet", harness.Subnet6(numB), "side"},
		{"run", "-d", "--name", "x", "--network", "side", "-p", "9000-9009:80-89", "-p", "9000:80/udp", "--", "sleep", "infinity"},
		{"network", "connect", "a", "x"},
		{"network", "disconnect", "a", "x"},
		{"rm", "-f", "x"},
		{"network", "rm", "side"},
	}
}

// REL-04: the daemon is killed at a random point of attaching, publishing and
// detaching. The next one finds a state that is one or the other, makes the
// kernel agree with it, and what had nothing to do with it isn't disturbed.
func TestDaemonKilledAnywhere(t *testing.T) { killedAnywhere(t, 1) }

func killedAnywhere(t *testing.T, rounds int) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		flows := harness.NewFlows(t)
		flows.TCP(t, e.LAN1, at(harness.HostIP4, 8080))
		flows.UDP(t, e.LAN1, at(harness.HostIP6, 8080))
		base := harness.Look(t, e)
		steps := crashSteps()
		for round := range rounds {
			for i := range steps {
				for _, s := range steps[:i] {
					e.Must(t, s...)
				}
				after := killDuring(t, e, steps[i])
				what := fmt.Sprintf("round %d, %s, killed after %v", round, strings.Join(steps[i][:2], " "), after)
				e.Daemon.Start(t)
				agrees(t, e, what)
				clearAway(t, e)
				if diff := base.Diff(harness.Look(t, e)); diff != "" {
					t.Fatalf("%s: left behind:\n%s", what, diff)
				}
			}
		}
		flows.Advance(t, 50)
		flows.Stop(t)
	}, harness.Restarts())
}

// killDuring kills the daemon while it works on a command.
func killDuring(t *testing.T, e *harness.Env, args []string) time.Duration {
	t.Helper()
	after := time.Duration(rand.Int64N(int64(100 * time.Millisecond)))
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Fairway(t, args...)
	}()
	time.Sleep(after)
	e.Daemon.Kill(t)
	<-done
	return after
}

// agrees compares the kernel with what the daemon says of sandbox x.
func agrees(t *testing.T, e *harness.Env, what string) {
	t.Helper()
	if r := e.Fairway(t, "status", "--brief"); r.Code != 0 {
		t.Errorf("%s: status is %s%s", what, r.Out, r.Err)
	}
	if e.Fairway(t, "inspect", "x").Code != 0 || !e.Inspect(t, "x").State.Running {
		if _, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 9000)); harness.Classify(err) != harness.Reset {
			t.Errorf("%s: port of no sandbox: %v, want a reset by the host", what, err)
		}
		return
	}
	x := e.Open(t, "x")
	devices := harness.CountLines(x.Must(t, "ip", "-o", "link"), ": eth")
	if n := len(x.NetworkSettings.Networks); n != devices {
		t.Errorf("%s: %d devices and %d networks", what, devices, n)
	}
	if len(x.NetworkSettings.Networks) == 0 {
		return
	}
	serve(t, x.Netns, 80, "x")
	for _, addr := range []string{harness.HostIP4, harness.HostIP6} {
		if r, err := harness.GetTCP(e.LAN1, at(addr, 9000)); err != nil || r.Tag != "x" {
			t.Errorf("%s: published port: %+v, %v", what, r, err)
		}
	}
}

// clearAway removes sandbox x and network side where they exist.
func clearAway(t *testing.T, e *harness.Env) {
	t.Helper()
	if e.Fairway(t, "inspect", "x").Code == 0 {
		e.Must(t, "rm", "-f", "x")
	}
	if e.Fairway(t, "network", "inspect", "side").Code == 0 {
		e.Must(t, "network", "rm", "side")
	}
}
