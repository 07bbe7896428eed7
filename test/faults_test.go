// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"golang.org/x/sys/unix"
)

// faultWorld is a host to which things are done by hand: c1 suffers, c2 must not notice.
type faultWorld struct {
	*harness.Env
	c1, c2 *harness.Sandbox
	others *harness.Flows
}

// Things that somebody does to the host under the daemon's hands. Each ends as it was
// before, so that they share a world.
func TestFaultsByHand(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		if e.Mode == harness.EBPF {
			e.Daemon.BPFFS = e.Dir(t, "pins")
		}
		e.Daemon.Start(t)
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		w := &faultWorld{Env: e, others: harness.NewFlows(t),
			c1: e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp"),
			c2: e.Sandbox(t, "c2", "--network", "b", "-p", "8081:80", "-p", "8081:80/udp")}
		serve(t, w.c1.Netns, 80, "c1")
		serve(t, w.c2.Netns, 80, "c2")
		w.others.TCP(t, e.LAN1, at(harness.HostIP4, 8081))
		w.others.TCP(t, e.LAN1, at(harness.HostIP6, 8081))
		t.Run("device deleted, number used again", w.reusedNumber)
		t.Run("devices set down", w.devicesDown)
		t.Run("bridge deleted", w.noBridge)
		switch e.Mode {
		case harness.EBPF:
			t.Run("bpffs unmounted", w.noBPFFS)
		case harness.IPTables:
			t.Run("rules deleted", w.noRules)
		}
		t.Run("daemon stopped", w.stopped)
		w.others.Advance(t, 20)
		w.others.Stop(t)
	}, harness.NoDaemon())
}

// heals waits until c1 is reached again, and reaches, in both families.
func (w *faultWorld) heals(t *testing.T) {
	t.Helper()
	for _, f := range []harness.Family{harness.V4(), harness.V6()} {
		reachesSoon(t, w.LAN1, at(f.Host, 8080), "c1", f.LAN1)
		w.answersSoon(t, at(f.Host, 8081), "c2")
		harness.Eventually(t, "c1 to reach its gateway", func() error {
			// One that is lost isn't waited for.
			return harness.Ping(w.c1.Netns, w.c1.Gateway("a", f), "-W1")
		})
	}
	if r := w.Fairway(t, "status", "--brief"); r.Code != 0 {
		t.Errorf("status: %s%s", r.Out, r.Err)
	}
}

// answersSoon waits until c1 is answered. What it begins before the daemon has noticed the
// fault, the mend may cut.
func (w *faultWorld) answersSoon(t *testing.T, dst, tag string) {
	t.Helper()
	for name, probe := range harness.Probes() {
		harness.Eventually(t, fmt.Sprintf("%s c1 → %s", name, dst), func() error {
			r, err := probe(w.c1.Netns, dst, harness.Within(harness.Silence))
			if err == nil && r.Tag != tag {
				err = fmt.Errorf("answered by %s", r.Tag)
			}
			return err
		})
	}
}

// veth is c1's device on the host.
func (w *faultWorld) veth() string {
	return "veth" + w.c1.NetworkSettings.Networks["a"].EndpointID[:11]
}

// bridge is the device of c1's network.
func (w *faultWorld) bridge() string {
	return "br-" + w.c1.NetworkSettings.Networks["a"].NetworkID[:12]
}

// The next device gets the number that flows, rules and neighbours know c1's by.
func (w *faultWorld) reusedNumber(t *testing.T) {
	index := deviceNumbers(t, w.Host)[w.veth()]
	w.Host.IP(t, "link del "+w.veth(), fmt.Sprintf("link add next index %d type veth peer name next0 netns %s", index, w.LAN2.Name),
		"link set next addrgenmode none up")
	w.LAN2.IP(t, "link set next0 addrgenmode none up")
	defer w.Host.IP(t, "link del next")
	w.heals(t)
	received := func() string {
		// The first number after the name is of bytes.
		_, numbers, _ := strings.Cut(w.LAN2.Must(t, "grep", "next0:", "/proc/net/dev"), ":")
		return strings.Fields(numbers)[0]
	}
	before := received()
	for _, f := range []harness.Family{harness.V4(), harness.V6()} {
		harness.Reaches(t, w.LAN1, f.Host, 8080, "c1")
	}
	if now := received(); now != before {
		t.Errorf("the device with c1's former number got %s bytes, had %s", now, before)
	}
}

func (w *faultWorld) devicesDown(t *testing.T) {
	w.Host.IP(t, "link set "+w.veth()+" down")
	w.heals(t)
	w.Host.IP(t, "link set "+w.bridge()+" down")
	w.heals(t)
	w.Host.IP(t, "addr del "+w.c1.Gateway("a", harness.V4())+"/24 dev "+w.bridge(), "addr del "+w.c1.Gateway("a", harness.V6())+"/64 dev "+w.bridge())
	w.heals(t)
	w.Host.IP(t, "link set "+w.veth()+" nomaster")
	w.heals(t)
}

func (w *faultWorld) noBridge(t *testing.T) {
	w.Host.IP(t, "link del "+w.bridge())
	w.heals(t)
}

// What is attached goes on, what is new is attached soon, and all of it outlives the
// daemon.
func (w *faultWorld) noBPFFS(t *testing.T) {
	if err := unix.Unmount(w.Daemon.BPFFS, 0); !errors.Is(err, unix.EBUSY) {
		t.Errorf("unmount without -l: %v, want EBUSY", err)
	}
	if err := unix.Unmount(w.Daemon.BPFFS, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	harness.Reaches(t, w.LAN1, harness.HostIP4, 8080, "c1")
	harness.Eventually(t, "programs to be pinned again", func() error {
		if r := w.Fairway(t, "run", "-d", "--name", "c3", "--network", "a", "-p", "8082:80", "--", "sleep", "infinity"); r.Code != 0 {
			return errors.New(r.Err)
		}
		return nil
	})
	c3 := w.Open(t, "c3")
	harness.ServeTCP(t, c3.Netns, 80, "c3")
	w.Daemon.Kill(t)
	harness.Reaches(t, w.LAN1, harness.HostIP4, 8080, "c1")
	if r, err := harness.GetTCP(w.LAN1, at(harness.HostIP4, 8082)); err != nil || r.Tag != "c3" {
		t.Errorf("daemon dead: %+v, %v", r, err)
	}
	w.others.Advance(t, 20)
	w.Daemon.Start(t)
	c3.Remove(t)
	w.heals(t)
}

// A single rule, or a chain, is mended when the counters are read, as the status does.
func (w *faultWorld) noRules(t *testing.T) {
	routeTo(t, w.LAN2, numA)
	for _, line := range []string{"-F DOCKER-FORWARD", "-t nat -F DOCKER", "-t raw -F PREROUTING", "-D FORWARD -j DOCKER-FORWARD", "-t nat -D PREROUTING 1"} {
		for _, command := range []string{"iptables", "ip6tables"} {
			w.Host.Must(t, command, append([]string{"-w"}, strings.Fields(line)...)...)
		}
		if out := w.Must(t, "status"); strings.Contains(out, "another program") {
			t.Errorf("%s: status is\n%s", line, out)
		}
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			harness.Reaches(t, w.LAN1, f.Host, 8080, "c1")
			if strings.Contains(line, "raw") {
				harness.Misses(t, w.LAN2, w.c1.IP(t, "a", f), 80)
			}
		}
	}
	w.heals(t)
}

// The daemon gets no processor for a while: traffic goes on, new connections too. What
// happens meanwhile, and what it is asked for, it sees to afterwards.
func (w *faultWorld) stopped(t *testing.T) {
	c3 := w.Sandbox(t, "c3", "--network", "a", "-p", "8083:80")
	harness.ServeTCP(t, c3.Netns, 80, "c3")
	w.Daemon.Signal(t, syscall.SIGSTOP)
	asked := make(chan harness.Result, 1)
	go func() { asked <- w.Fairway(t, "network", "create", "late") }()
	w.others.Advance(t, 200)
	harness.Reaches(t, w.LAN1, harness.HostIP4, 8080, "c1")
	if err := unix.Kill(c3.State.Pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.Host.IP(t, "link del "+w.veth())
	harness.Misses(t, w.LAN1, harness.HostIP4, 8080)
	w.Daemon.Signal(t, syscall.SIGCONT)
	w.heals(t)
	harness.Eventually(t, "c3 to be exited", func() error {
		if in := w.Inspect(t, "c3"); in.State.Running {
			return fmt.Errorf("state is %+v", in.State)
		}
		return nil
	})
	if r := <-asked; r.Code != 0 {
		t.Errorf("what was asked meanwhile: %s", r.Err)
	}
	w.Must(t, "network", "rm", "late")
	w.Must(t, "rm", "c3")
}
