// SPDX-License-Identifier: Apache-2.0

package load

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/netns"
)

func TestMain(m *testing.M) {
	Init(os.Args)
	os.Exit(root.Main(m))
}

// ends are two namespaces with a veth between them.
type ends struct {
	client, server            *Side
	clientNS, serverNS, dir   string
	address, address6, source netip.Addr
}

func newEnds(t *testing.T) *ends {
	t.Helper()
	e := &ends{
		dir:     filepath.Join(t.TempDir(), "netns"),
		address: netip.MustParseAddr("192.0.2.2"), address6: netip.MustParseAddr("2001:db8::2"),
		source: netip.MustParseAddr("192.0.2.1"),
	}
	must(t, netns.PrepareDir(e.dir))
	t.Cleanup(func() { must(t, netns.RemoveDir(e.dir)) })
	e.clientNS = filepath.Join(e.dir, "client")
	e.serverNS = filepath.Join(e.dir, "server")
	must(t, netns.Create(e.clientNS))
	must(t, netns.Create(e.serverNS))
	must(t, veth(e.clientNS, e.serverNS))
	for _, ns := range []string{e.clientNS, e.serverNS} {
		must(t, netns.Do(ns, operational))
	}
	must(t, netns.Do(e.clientNS, e.reachable))
	e.client, e.server = start(t, e.clientNS), start(t, e.serverNS)
	return e
}

func veth(client, server string) error {
	to, err := netns.Open(server)
	if err != nil {
		return err
	}
	defer to.Close()
	err = netns.Do(client, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0"
		link := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(to.Fd())}
		return errors.Join(netlink.LinkAdd(link), configure("192.0.2.1/24", "2001:db8::1/64"))
	})
	return errors.Join(err, netns.Do(server, func() error { return configure("192.0.2.2/24", "2001:db8::2/64") }))
}

// operational waits until the device's queue takes packets. To ask has the kernel look at
// the device, which may come a second later otherwise.
func operational() error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		link, err := netlink.LinkByName("eth0")
		if err != nil || link.Attrs().OperState == netlink.OperUp {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("eth0 is %s", link.Attrs().OperState)
		}
	}
}

// reachable waits for what the kernel does with a new IPv6 device in its own time.
func (e *ends) reachable() error {
	nobody := netip.AddrPortFrom(e.address6, 9).String()
	for deadline := time.Now().Add(time.Minute); ; {
		_, err := net.DialTimeout("tcp", nobody, 100*time.Millisecond)
		if errors.Is(err, unix.ECONNREFUSED) {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func configure(addrs ...string) error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	// Neighbour discovery would try again after a second only.
	if err := os.WriteFile("/proc/sys/net/ipv6/neigh/eth0/retrans_time_ms", []byte("10"), 0o644); err != nil {
		return err
	}
	for _, a := range addrs {
		addr, err := netlink.ParseAddr(a)
		if err != nil {
			return err
		}
		// An address that is looked for first can't be used for a second.
		addr.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, addr); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

func start(t *testing.T, ns string) *Side {
	t.Helper()
	s, err := Start(Place{Netns: ns, CPU: 0})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve begins a service at the server and returns where.
func (e *ends) serve(t *testing.T, k Kind, at netip.Addr, flows int) netip.AddrPort {
	t.Helper()
	addr, err := e.server.Serve(t.Context(), Service{Kind: k, Addr: netip.AddrPortFrom(at, 0), Flows: flows})
	must(t, err)
	return addr
}

// How long jobs warm up and last, where nobody says otherwise.
const warmup, duration = 5 * time.Millisecond, 50 * time.Millisecond

// run runs a job, again and for longer if a busy machine let nothing happen.
func (e *ends) run(t *testing.T, j Job) Result {
	t.Helper()
	return e.runUntil(t, j, func(r Result) bool { return r.Transactions+r.Bytes+r.Failed() > 0 })
}

func (e *ends) runUntil(t *testing.T, j Job, enough func(Result) bool) Result {
	t.Helper()
	j.Warmup, j.Duration = warmup, duration
	if j.Timeout == 0 {
		// A busy machine may keep a process waiting for seconds.
		j.Timeout = 20 * time.Second
	}
	for {
		r, err := e.client.Run(t.Context(), j)
		must(t, err)
		if enough(r) || j.Duration > time.Minute {
			return r
		}
		j.Duration *= 4
	}
}

func TestClosedLoop(t *testing.T) {
	e := newEnds(t)
	for _, k := range Kinds() {
		for _, flows := range []int{1, 16, 128} {
			for name, at := range map[string]netip.Addr{"ipv4": e.address, "ipv6": e.address6} {
				t.Run(fmt.Sprintf("%s/%s/%d", k, name, flows), func(t *testing.T) { e.closedLoop(t, k, at, flows) })
			}
		}
	}
}

// closedLoop tries until something was measured, each time with a server of its own.
func (e *ends) closedLoop(t *testing.T, k Kind, at netip.Addr, flows int) {
	t.Helper()
	j := Job{Kind: k, Flows: flows, Warmup: warmup, Duration: duration, Timeout: 20 * time.Second}
	for {
		before, err := e.server.Counts(t.Context())
		must(t, err)
		j.Targets = []netip.AddrPort{e.serve(t, k, at, flows)}
		r, err := e.client.Run(t.Context(), j)
		must(t, err)
		if r.Transactions+r.Bytes+r.Failed() == 0 && j.Duration < time.Minute {
			j.Duration *= 4
			continue
		}
		must(t, r.Clean())
		after, err := e.server.Counts(t.Context())
		must(t, err)
		checkClosed(t, k, r, flows, after.minus(before))
		t.Logf("%.0f/s, %.0f B/s, %d retransmits", r.Rate(), r.Throughput(), r.Retransmits)
		return
	}
}

func (c Counts) minus(o Counts) Counts {
	return Counts{c.Accepted - o.Accepted, c.Ended - o.Ended, c.Responses - o.Responses, c.Bytes - o.Bytes}
}

// checkClosed compares what the client says with what the server did.
func checkClosed(t *testing.T, k Kind, r Result, flows int, did Counts) {
	t.Helper()
	switch {
	case k == Stream && (r.Bytes == 0 || did.Bytes < r.Bytes || r.Latency != nil):
		t.Errorf("%d bytes, the server has %d", r.Bytes, did.Bytes)
	case k != Stream && uint64(r.Latency.TotalCount()) != r.Transactions:
		t.Errorf("%d latencies of %d transactions", r.Latency.TotalCount(), r.Transactions)
	case k != Stream && did.Responses < r.Transactions:
		t.Errorf("%d transactions, the server answered %d", r.Transactions, did.Responses)
	}
	want := uint64(flows)
	switch k {
	case UDPRR:
		want = 0
	case CRR:
		want = did.Responses
		if r.Connect.TotalCount() == 0 {
			t.Error("no time of connecting")
		}
	}
	if did.Accepted != want {
		t.Errorf("server accepted %d connections, want %d", did.Accepted, want)
	}
}

func TestOpenLoop(t *testing.T) {
	e := newEnds(t)
	for _, k := range []Kind{RR, CRR, UDPRR} {
		t.Run(string(k), func(t *testing.T) {
			const rate = 1000
			r := e.run(t, Job{Kind: k, Targets: []netip.AddrPort{e.serve(t, k, e.address, 16)}, Flows: 16, Rate: rate})
			must(t, r.Clean())
			if want := uint64(rate * duration / time.Second); r.Transactions != want || uint64(r.Latency.TotalCount()) != want {
				t.Errorf("%d transactions, %d latencies, want %d", r.Transactions, r.Latency.TotalCount(), want)
			}
			if uint64(r.Late.TotalCount()) != r.Transactions {
				t.Errorf("%d of %d know how late they began", r.Late.TotalCount(), r.Transactions)
			}
		})
	}
}

// A server that can't keep up is seen in the latencies: the transactions that wait
// for their turn are late from when they were due.
func TestOpenLoopHasNoCoordinatedOmission(t *testing.T) {
	e := newEnds(t)
	target := e.serve(t, RR, e.address, 2)
	r, err := e.client.Run(t.Context(), Job{
		Kind: RR, Targets: []netip.AddrPort{target}, Flows: 2, Rate: 2_000_000, Duration: 20 * time.Millisecond,
	})
	must(t, err)
	if n := r.Transactions + r.Failed(); n != 40000 {
		t.Errorf("%d transactions and %d failures, want 40000 in all", r.Transactions, r.Failed())
	}
	// Half of them were due while the schedule ran ahead of the server for longer
	// than that.
	if p50 := time.Duration(r.Latency.ValueAtQuantile(50)); p50 < 20*time.Millisecond {
		t.Errorf("median %v of a server that is overrun", p50)
	}
	if r.Elapsed <= 20*time.Millisecond {
		t.Errorf("elapsed %v: the rate would be the schedule's", r.Elapsed)
	}
}

func TestFailuresAreCounted(t *testing.T) {
	e := newEnds(t)
	nobody := netip.AddrPortFrom(e.address, 9)
	nowhere := netip.MustParseAddrPort("192.0.2.99:80")
	for _, tt := range []struct {
		name string
		job  Job
		want string
	}{
		{"refused/crr", Job{Kind: CRR, Targets: []netip.AddrPort{nobody}, Flows: 1}, "connection refused"},
		{"refused/crr/16", Job{Kind: CRR, Targets: []netip.AddrPort{nobody}, Flows: 16}, "connection refused"},
		{"refused/udp-rr", Job{Kind: UDPRR, Targets: []netip.AddrPort{nobody}, Flows: 1}, "connection refused"},
		{"refused/stream", Job{Kind: Stream, Targets: []netip.AddrPort{nobody}, Flows: 1}, "connection refused"},
		{"silent/rr", Job{Kind: RR, Targets: []netip.AddrPort{nowhere}, Flows: 1, Timeout: 20 * time.Millisecond}, "timeout"},
		{"silent/rr/16", Job{Kind: RR, Targets: []netip.AddrPort{nowhere}, Flows: 16, Timeout: 20 * time.Millisecond}, "timeout"},
		{"silent/open", Job{Kind: UDPRR, Targets: []netip.AddrPort{nowhere}, Flows: 4, Rate: 100, Timeout: 20 * time.Millisecond}, "timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := e.run(t, tt.job)
			if r.Failures[tt.want] == 0 || r.Transactions != 0 || r.Clean() == nil {
				t.Errorf("%d transactions, failures %v, want some %q", r.Transactions, r.Failures, tt.want)
			}
		})
	}
}

func TestWrongJobs(t *testing.T) {
	e := newEnds(t)
	target := []netip.AddrPort{netip.AddrPortFrom(e.address, 9)}
	for name, j := range map[string]Job{
		"no kind":     {Targets: target, Flows: 1, Duration: 1},
		"no target":   {Kind: RR, Flows: 1, Duration: 1},
		"no flow":     {Kind: RR, Targets: target, Duration: 1},
		"no duration": {Kind: RR, Targets: target, Flows: 1},
		"open stream": {Kind: Stream, Targets: target, Flows: 1, Duration: 1, Rate: 1},
	} {
		if _, err := e.client.Run(t.Context(), j); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := e.server.Serve(t.Context(), Service{Kind: RR, Addr: netip.MustParseAddrPort("198.51.100.1:80"), Flows: 1}); err == nil {
		t.Error("served at an address of nobody")
	}
}

func TestCRRBindsToSources(t *testing.T) {
	e := newEnds(t)
	r := e.run(t, Job{Kind: CRR, Targets: []netip.AddrPort{e.serve(t, CRR, e.address, 1)}, Sources: []netip.Addr{e.source}, Flows: 1})
	must(t, r.Clean())
	r = e.run(t, Job{
		Kind: CRR, Targets: []netip.AddrPort{e.serve(t, CRR, e.address, 1)},
		Sources: []netip.Addr{netip.MustParseAddr("192.0.2.77")}, Flows: 1,
	})
	if r.Failed() == 0 || r.Transactions > 0 {
		t.Errorf("connected from an address that the client doesn't have: %+v", r)
	}
}

// A port that somebody listens on is no tuple for a client.
func TestCRRPassesOverTakenPorts(t *testing.T) {
	e := newEnds(t)
	for port := uint16(firstPort + 10); port < firstPort+13; port++ {
		_, err := e.client.Serve(t.Context(), Service{Kind: CRR, Addr: netip.AddrPortFrom(e.source, port), Flows: 1})
		must(t, err)
	}
	r := e.runUntil(t, Job{Kind: CRR, Targets: []netip.AddrPort{e.serve(t, CRR, e.address, 1)}, Flows: 1},
		func(r Result) bool { return r.Transactions >= 20 || r.Failed() > 0 })
	must(t, r.Clean())
	if r.Transactions < 20 {
		t.Errorf("only %d transactions, which may not have come so far", r.Transactions)
	}
}
