// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/fairway-project/fairway/test/partial"
)

// These tests run the operator's firewalls themselves, ufw and firewalld, on the host
// that Fairway is on. Their configuration is the test's own.

// firewallRoom has ufw and firewalld in it.
func firewallRoom(t *testing.T, e *harness.Env) *harness.Room {
	t.Helper()
	tree, err := filepath.Abs("../.cache/firewalls")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tree); err != nil {
		partial.Skip(t, err)
		t.Fatalf("ufw and firewalld aren't there, run make deps-firewalls: %v", err)
	}
	return e.NewRoom(t, tree)
}

// firewalled makes a container that publishes two ports. Its network has a bridge with
// a name that fits into rules.
func firewalled(t *testing.T, e *harness.Env) *harness.Sandbox {
	t.Helper()
	e.Network(t, "a", numA, "-o", "com.docker.network.bridge.name=front0")
	c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp", "-p", "8081:81", "-p", "8081:81/udp")
	serve(t, c1.Netns, 80, "c1")
	serve(t, c1.Netns, 81, "c1")
	serve(t, e.WAN, 80, "wan")
	return c1
}

// attempt is a walk over one protocol.
type attempt struct {
	proto string
	walk
}

func (a attempt) String() string { return fmt.Sprintf("%s %s → %s", a.proto, a.from.Name, a.dst) }

func (a attempt) make(opts ...harness.DialOption) (harness.Reply, error) {
	return harness.Probes()[a.proto](a.from, a.dst, opts...)
}

// over makes attempts at an address of each family.
func over(proto string, from *harness.Netns, addr func(f harness.Family) string, port int) (as []attempt) {
	for _, f := range []harness.Family{harness.V4(), harness.V6()} {
		as = append(as, attempt{proto, walk{from, at(addr(f), port)}})
	}
	return as
}

func ofHost(f harness.Family) string { return f.Host }
func ofWAN(f harness.Family) string  { return f.WAN }

// passes demands that all attempts get an answer.
func passes(t *testing.T, all ...[]attempt) {
	t.Helper()
	for _, as := range all {
		for _, a := range as {
			if _, err := a.make(); err != nil {
				t.Errorf("%s: %v", a, err)
			}
		}
	}
}

// meets demands that all attempts meet with an outcome other than an answer.
func meets(t *testing.T, want harness.Outcome, all ...[]attempt) {
	t.Helper()
	unanswered(t, all, func(a attempt, err error) {
		if got := harness.Classify(err); got != want {
			t.Errorf("%s meets with %s (%v), want %s", a, got, err, want)
		}
	})
}

// blocked demands that no attempt gets an answer.
func blocked(t *testing.T, all ...[]attempt) {
	t.Helper()
	unanswered(t, all, func(a attempt, err error) {
		if err == nil {
			t.Errorf("%s must not be possible", a)
		}
	})
}

func unanswered(t *testing.T, all [][]attempt, judge func(a attempt, err error)) {
	t.Helper()
	var done sync.WaitGroup
	for _, as := range all {
		for _, a := range as {
			done.Go(func() {
				_, err := a.make(harness.Within(harness.Silence))
				judge(a, err)
			})
		}
	}
	done.Wait()
}

// goesOn demands that connections go on during a change of the rules and after it, and
// that the rules judge them after it.
func goesOn(t *testing.T, e *harness.Env, flows *harness.Flows, change func()) {
	t.Helper()
	change()
	before := forwardedBy(t, e, "stack")
	harness.Eventually(t, "running connections to be judged", func() error {
		if n := forwardedBy(t, e, "stack") - before; n < 10 {
			return fmt.Errorf("%d packets passed the stack", n)
		}
		return nil
	})
	flows.Advance(t, 50)
}

func doctorNames(t *testing.T, e *harness.Env, what string) {
	t.Helper()
	if out := e.Fairway(t, "doctor").Out; !strings.Contains(out, what) {
		t.Errorf("doctor says\n%s", out)
	}
}

// talks are exchanges of datagrams.
type talks []*harness.UDPConn

func talk(t *testing.T, as []attempt) (ts talks) {
	t.Helper()
	for _, a := range as {
		u, err := harness.DialUDP(a.from, a.dst)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { u.Close() })
		ts = append(ts, u)
	}
	ts.answered(t)
	return ts
}

func (ts talks) answered(t *testing.T) {
	t.Helper()
	harness.Eventually(t, "datagrams to be answered", func() error {
		return errors.Join(ts.exchange()...)
	})
}

func (ts talks) cut(t *testing.T) {
	t.Helper()
	harness.Eventually(t, "datagrams to be cut off", func() error {
		if slices.Contains(ts.exchange(), nil) {
			return errors.New("answered")
		}
		return nil
	})
}

// exchange sends a datagram in each of the talks, and returns what became of it.
func (ts talks) exchange() []error {
	errs := make([]error, len(ts))
	var done sync.WaitGroup
	for i, u := range ts {
		done.Go(func() { _, errs[i] = u.Exchange(8, harness.Silence) })
	}
	done.Wait()
	return errs
}

// In bypass mode, as with Docker's rules, neither firewall filters published ports, and
// both filter what comes to the host itself. What a container sends firewalld refuses
// where netfilter sees it, since it has a table of its own.
func TestFirewallsHaveNoSay(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1 := firewalled(t, e)
		harness.ServeTCP(t, e.Host, 9000, "host")
		toHost := append(over("tcp", e.LAN1, ofHost, 9000), over("tcp", c1.Netns, ofHost, 9000)...)
		noSay := func() {
			t.Helper()
			passes(t, over("tcp", e.LAN1, ofHost, 8080), over("udp", e.LAN1, ofHost, 8080))
			blocked(t, toHost)
		}
		u := enableUFW(t, e)
		noSay()
		passes(t, over("tcp", c1.Netns, ofWAN, 80), over("udp", c1.Netns, ofWAN, 80))
		u.cmd(t, "allow", "9000")
		passes(t, toHost)
		u.remove(t, e)

		f := startFirewalld(t, e)
		f.cmd(t, "--reload")
		mendRules(t, e)
		noSay()
		for _, a := range over("udp", c1.Netns, ofWAN, 80) {
			_, err := a.make(harness.Within(harness.Silence))
			e.Expect(t, "REL-13", "firewalld doesn't refuse what a container sends", err != nil)
		}
		f.stop()
		mendRules(t, e)
	})
}

// mendRules starts the daemon again where it has rules that firewalld removes, with all
// others of iptables, whenever it starts, reads its configuration and ends.
func mendRules(t *testing.T, e *harness.Env) {
	t.Helper()
	if e.Mode == harness.IPTables {
		e.Daemon.Stop(t)
		e.Daemon.Start(t)
	}
}
