// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"

	"github.com/fairway-project/fairway/userspace/resolvconf"
)

func TestForwardChoosesUpstream(t *testing.T) {
	w := newWorld(t)
	servfail := w.serve(w.wire, server1, always(mdns.RcodeServerFailure, ""))
	refused := w.serve(w.wire, server2, always(mdns.RcodeRefused, ""))
	good := w.serve(w.wire, server3, always(mdns.RcodeSuccess, "192.0.2.3"))
	good6 := w.serve(w.wire, server6, always(mdns.RcodeNameError, ""))
	r := w.start(NewRegistry(), Config{})
	for _, c := range []struct {
		name      string
		upstreams []netip.Addr
		rcode     int
		asked     []*upstream
	}{
		{"none.", nil, mdns.RcodeServerFailure, nil},
		{"own.", []netip.Addr{Addr}, mdns.RcodeServerFailure, nil},
		{"first.", []netip.Addr{server3, server1}, 0, []*upstream{good}},
		{"third.", []netip.Addr{server1, server2, server3}, 0, []*upstream{servfail, refused, good}},
		{"fourth.", []netip.Addr{server1, server2, nobody, server3}, mdns.RcodeServerFailure, []*upstream{servfail, refused}},
		{"nxdomain.", []netip.Addr{nobody, server6, server3}, mdns.RcodeNameError, []*upstream{good6}},
	} {
		r.Update(Config{Forward: true, Upstreams: via(c.upstreams...)})
		if m := w.ask(r, "udp", c.name, mdns.TypeA); m.Rcode != c.rcode {
			t.Errorf("%s %s, want %s", c.name, mdns.RcodeToString[m.Rcode], mdns.RcodeToString[c.rcode])
		}
		var asked []*upstream
		for _, u := range []*upstream{servfail, refused, good, good6} {
			for _, q := range u.queries() {
				if q.Question[0].Name == c.name {
					asked = append(asked, u)
				}
			}
		}
		if !cmp.Equal(asked, c.asked, cmp.Comparer(func(a, b *upstream) bool { return a == b })) {
			t.Errorf("%s %d upstreams were asked, want %d", c.name, len(asked), len(c.asked))
		}
	}
}

// TestInternalNeverForwards also covers servers of the user's and the host's.
func TestInternalNeverForwards(t *testing.T) {
	w := newWorld(t)
	up := w.serve(w.wire, server1, always(mdns.RcodeSuccess, "192.0.2.1"))
	stub := w.serve(w.host, hostStub, always(mdns.RcodeSuccess, "192.0.2.2"))
	upstreams := append(via(server1), resolvconf.Upstream{Addr: hostStub, FromHost: true})
	internal := Config{Networks: []Network{{ID: "n1", Name: "front"}}, Upstreams: upstreams}
	r := w.start(example(), internal)
	for _, network := range []string{"udp", "tcp"} {
		for _, qtype := range []uint16{mdns.TypeA, mdns.TypeAAAA, mdns.TypePTR, mdns.TypeTXT, mdns.TypeSRV} {
			if m := w.ask(r, network, "example.com.", qtype); m.Rcode != mdns.RcodeServerFailure {
				t.Errorf("%s over %s: %s, want SERVFAIL", mdns.TypeToString[qtype], network, mdns.RcodeToString[m.Rcode])
			}
		}
	}
	// A query that is forwarded comes after those that weren't.
	internal.Forward = true
	r.Update(internal)
	w.ask(r, "udp", "marker.", mdns.TypeA)
	if n := len(up.queries()); n != 1 {
		t.Errorf("the upstream saw %d queries, want the marker alone", n)
	}
	if n := len(stub.queries()); n != 0 {
		t.Errorf("the host's upstream saw %d queries, want none", n)
	}
	w.ask(r, "udp", "db.", mdns.TypeAAAA)
	w.ask(r, "udp", "db.", mdns.TypeMX)
	if n := len(up.queries()); n != 1 {
		t.Errorf("the upstream saw %d queries, want none for a local name", n)
	}
}

func TestForwardFromHost(t *testing.T) {
	w := newWorld(t)
	stub := w.serve(w.host, hostStub, always(mdns.RcodeSuccess, "192.0.2.2"))
	r := w.start(NewRegistry(), Config{Forward: true, Upstreams: []resolvconf.Upstream{{Addr: hostStub, FromHost: true}}})
	for _, network := range []string{"udp", "tcp"} {
		if got := values(w.ask(r, network, "example.com.", mdns.TypeA)); !cmp.Equal(got, []string{"192.0.2.2"}) {
			t.Errorf("over %s: %v", network, got)
		}
	}
	seen := stub.queries()
	if len(seen) != 2 || seen[0].tcp || !seen[1].tcp {
		t.Errorf("want one query over UDP and one over TCP, got %d", len(seen))
	}
	// The same address asked from the sandbox is the sandbox's loopback.
	r.Update(Config{Forward: true, Upstreams: via(hostStub)})
	if m := w.ask(r, "udp", "example.com.", mdns.TypeA); m.Rcode != mdns.RcodeServerFailure {
		t.Errorf("from the sandbox: %s, want SERVFAIL", mdns.RcodeToString[m.Rcode])
	}
}

func TestForwardTruncated(t *testing.T) {
	w := newWorld(t)
	long := func(n int) mdns.HandlerFunc {
		return func(rw mdns.ResponseWriter, q *mdns.Msg) {
			m := new(mdns.Msg).SetReply(q)
			for i := range n {
				m.Answer = append(m.Answer, &mdns.TXT{
					Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeTXT, Class: mdns.ClassINET},
					Txt: []string{strings.Repeat(string(rune('a'+i%26)), 200)},
				})
			}
			if rw.RemoteAddr().Network() == "udp" {
				m.Truncate(limit(q, false))
			}
			rw.WriteMsg(m)
		}
	}
	up := w.serve(w.wire, server1, long(10))
	r := w.start(NewRegistry(), Config{Forward: true, Upstreams: via(server1)})
	for _, c := range []struct {
		network   string
		mods      []func(*mdns.Msg)
		truncated bool
		answers   int
		transport []bool // TCP, per upstream query
	}{
		{"udp", nil, true, 2, []bool{false, true}},
		{"udp", []func(*mdns.Msg){edns(1232)}, true, 5, []bool{false, true}},
		{"udp", []func(*mdns.Msg){edns(4096)}, false, 10, []bool{false}},
		// The upstream is told of no more than is read.
		{"udp", []func(*mdns.Msg){edns(65000)}, false, 10, []bool{false}},
		{"tcp", nil, false, 10, []bool{true}},
	} {
		before := len(up.queries())
		m := w.ask(r, c.network, "long.", mdns.TypeTXT, c.mods...)
		if m.Truncated != c.truncated || len(m.Answer) != c.answers {
			t.Errorf("%s: truncated %v with %d answers, want %v with %d", c.network, m.Truncated, len(m.Answer), c.truncated, c.answers)
		}
		var transport []bool
		for _, q := range up.queries()[before:] {
			transport = append(transport, q.tcp)
			if (q.IsEdns0() != nil) != (len(c.mods) > 0) {
				t.Errorf("%s: the upstream got OPT %v", c.network, q.IsEdns0())
			}
			if opt := q.IsEdns0(); opt != nil && opt.UDPSize() > udpSize {
				t.Errorf("%s: the upstream may send %d bytes", c.network, opt.UDPSize())
			}
		}
		if !cmp.Equal(transport, c.transport) {
			t.Errorf("%s: upstream over TCP: %v, want %v", c.network, transport, c.transport)
		}
	}
}

// TestForwardOversized has a server that ignores the size limit of UDP.
func TestForwardOversized(t *testing.T) {
	w := newWorld(t)
	w.serve(w.wire, server1, func(rw mdns.ResponseWriter, q *mdns.Msg) {
		m := new(mdns.Msg).SetReply(q)
		for range 300 {
			m.Answer = append(m.Answer, &mdns.TXT{
				Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeTXT, Class: mdns.ClassINET},
				Txt: []string{strings.Repeat("x", 200)},
			})
		}
		rw.WriteMsg(m)
	})
	r := w.start(NewRegistry(), Config{Forward: true, Upstreams: via(server1)})
	if m := w.ask(r, "udp", "huge.", mdns.TypeTXT); !m.Truncated || m.Rcode != 0 {
		t.Errorf("over udp: truncated %v, %s", m.Truncated, mdns.RcodeToString[m.Rcode])
	}
	if m := w.ask(r, "tcp", "huge.", mdns.TypeTXT); m.Truncated || len(m.Answer) != 300 {
		t.Errorf("over tcp: truncated %v, %d answers, want all 300", m.Truncated, len(m.Answer))
	}
}

func TestForwardSpoofed(t *testing.T) {
	w := newWorld(t)
	up := w.serve(w.wire, server1, func(rw mdns.ResponseWriter, q *mdns.Msg) {
		spoof := func(change func(*mdns.Msg)) {
			m := new(mdns.Msg).SetReply(q)
			rr, _ := mdns.NewRR(q.Question[0].Name + " 5 IN A 192.0.2.66")
			m.Answer = []mdns.RR{rr}
			change(m)
			rw.WriteMsg(m)
		}
		if rw.RemoteAddr().Network() == "udp" {
			spoof(func(m *mdns.Msg) { m.Id++ })
			spoof(func(m *mdns.Msg) { m.Question[0].Name = "other." })
			spoof(func(m *mdns.Msg) { m.Question[0].Qtype = mdns.TypeAAAA })
			spoof(func(m *mdns.Msg) { m.Question = nil })
			spoof(func(m *mdns.Msg) { m.Response = false })
			rw.Write([]byte{byte(q.Id >> 8)})
			rw.Write(nil)
			rw.Write([]byte{byte(q.Id >> 8), byte(q.Id), 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 0x0c})
		}
		always(mdns.RcodeSuccess, "192.0.2.1")(rw, q)
	})
	r := w.start(NewRegistry(), Config{Forward: true, Upstreams: via(server1)})
	ids, ports := map[uint16]bool{}, map[string]bool{}
	for range 20 {
		m := w.ask(r, "udp", "Example.com.", mdns.TypeA, func(q *mdns.Msg) { q.Id = 7 })
		if got := values(m); !cmp.Equal(got, []string{"192.0.2.1"}) || m.Id != 7 {
			t.Fatalf("got %v with ID %d", got, m.Id)
		}
	}
	for _, q := range up.queries() {
		ids[q.Id], ports[q.from] = true, true
	}
	if len(ids) < 15 || len(ports) < 15 {
		t.Errorf("20 queries had %d IDs and %d source ports", len(ids), len(ports))
	}
}

func TestForwardNDots(t *testing.T) {
	w := newWorld(t)
	up := w.serve(w.wire, server1, always(mdns.RcodeSuccess, "192.0.2.1"))
	c := Config{Forward: true, Upstreams: via(server1), NDotsSet: true}
	r := w.start(NewRegistry(), c)
	if m := w.ask(r, "udp", "single.", mdns.TypeA); m.Rcode != 0 || len(m.Answer) != 0 || len(up.queries()) != 0 {
		t.Errorf("ndots set: %s %v after %d queries", mdns.RcodeToString[m.Rcode], values(m), len(up.queries()))
	}
	w.ask(r, "udp", "two.labels.", mdns.TypeA)
	c.NDotsSet = false
	r.Update(c)
	w.ask(r, "udp", "single.", mdns.TypeA)
	if n := len(up.queries()); n != 2 {
		t.Errorf("%d queries upstream, want 2", n)
	}
}

// TestForwardLimit fills the forwarder with queries that nobody answers, looks
// at the one too many, and then closes under load.
func TestForwardLimit(t *testing.T) {
	w := newWorld(t)
	arrived := make(chan struct{}, 2*maxForwards)
	w.serve(w.wire, server1, func(rw mdns.ResponseWriter, q *mdns.Msg) {
		if q.Question[0].Name == "fast." {
			always(mdns.RcodeSuccess, "192.0.2.1")(rw, q)
			return
		}
		arrived <- struct{}{}
	})
	c := Config{Forward: true, Upstreams: via(server1), Networks: []Network{{ID: "n1", Name: "front"}}}
	other := w.start(example(), c)
	goroutines := runtime.NumGoroutine()
	r := w.start(example(), c)
	conn := &mdns.Conn{Conn: w.dial(r, "udp")}
	defer conn.Close()
	started := time.Now()
	for i := range maxForwards {
		must(t, conn.WriteMsg(new(mdns.Msg).SetQuestion(fmt.Sprint("slow", i, "."), mdns.TypeA)))
		<-arrived
	}
	if m := w.ask(r, "udp", "more.", mdns.TypeA); m.Rcode != mdns.RcodeRefused {
		t.Errorf("one query too many: %s, want REFUSED (after %s)", mdns.RcodeToString[m.Rcode], time.Since(started))
	}
	if got := values(w.ask(r, "udp", "web.", mdns.TypeA)); !cmp.Equal(got, []string{"172.30.0.2"}) {
		t.Errorf("a local name meanwhile: %v", got)
	}
	if got := values(w.ask(other, "udp", "fast.", mdns.TypeA)); !cmp.Equal(got, []string{"192.0.2.1"}) {
		t.Errorf("another sandbox meanwhile: %v", got)
	}
	must(t, r.Close())
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > goroutines+5; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d after Close", goroutines, runtime.NumGoroutine())
		}
	}
}

// TestForwardTimeout has a server that is dead. After a few queries nobody waits for
// it any more.
func TestForwardTimeout(t *testing.T) {
	w := newWorld(t)
	dead := w.serve(w.wire, server1, func(mdns.ResponseWriter, *mdns.Msg) {})
	w.serve(w.wire, server2, always(mdns.RcodeSuccess, "192.0.2.2"))
	r := w.startWaiting(time.Second, NewRegistry(), Config{Forward: true, Upstreams: via(server1, server2)})
	started := time.Now()
	var waiting sync.WaitGroup
	for i := range maxMisses {
		waiting.Go(func() {
			m, err := w.try(r, "udp", fmt.Sprint("example", i, "."), mdns.TypeA)
			if err != nil {
				t.Error(err)
				return
			}
			got := values(m)
			if took := time.Since(started); !cmp.Equal(got, []string{"192.0.2.2"}) || took < r.forward.timeout {
				t.Errorf("%v after %s, want the second server's answer after %s", got, took, r.forward.timeout)
			}
		})
	}
	waiting.Wait()
	if got := values(w.ask(r, "udp", "later.", mdns.TypeA)); !cmp.Equal(got, []string{"192.0.2.2"}) {
		t.Errorf("later: %v", got)
	}
	names := map[string]bool{}
	for _, q := range dead.queries() {
		names[q.Question[0].Name] = true
	}
	if len(names) != maxMisses || names["later."] {
		t.Errorf("the dead server was asked for %v, want the first %d names", names, maxMisses)
	}
}

// TestForwardLargest has replies of the largest size that there is, by TCP.
func TestForwardLargest(t *testing.T) {
	w := newWorld(t)
	w.serve(w.wire, server1, func(rw mdns.ResponseWriter, q *mdns.Msg) {
		m := new(mdns.Msg).SetReply(q)
		fill := mdns.MaxMsgSize - m.Len() - 12 // owner "." and the fixed part of a record
		m.Answer = []mdns.RR{&mdns.RFC3597{
			Hdr:   mdns.RR_Header{Name: ".", Rrtype: 65280, Class: mdns.ClassINET, Ttl: 5},
			Rdata: strings.Repeat("ab", fill+1),
		}}
		rw.WriteMsg(m)
	})
	r := w.start(NewRegistry(), Config{Forward: true, Upstreams: via(server1)})
	m := w.ask(r, "tcp", "largest.example.", 65280)
	if m.Truncated || m.Rcode != 0 || len(m.Answer) != 1 || m.Len() != mdns.MaxMsgSize {
		t.Errorf("%s, truncated %v, %d answers, %d bytes", mdns.RcodeToString[m.Rcode], m.Truncated, len(m.Answer), m.Len())
	}
}
