// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

// example has two networks and web on both of them.
func example() *Registry {
	r := NewRegistry()
	r.Set(Record{EndpointID: "e1", NetworkID: "n1", IPv4: ip("172.30.0.2"), IPv6: ip("fd00:30::2"),
		Names: Names("web", []string{"app", "Front.End"}, "0123456789abcdef", "webhost")})
	r.Set(Record{EndpointID: "e2", NetworkID: "n1", IPv4: ip("172.30.0.3"),
		Names: Names("db", []string{"app"}, "fedcba9876543210", "fedcba987654")})
	r.Set(Record{EndpointID: "e3", NetworkID: "n2", IPv4: ip("172.31.0.2"),
		Names: Names("cache", nil, "00112233445566", "cache")})
	return r
}

func TestAnswer(t *testing.T) {
	w := newWorld(t)
	r := w.start(example(), Config{
		Networks: []Network{{ID: "n1", Name: "Front.Net"}},
		Links:    []Link{{Alias: "store", Name: "db"}, {Alias: "secret", Name: "cache"}},
	})
	const servfail = mdns.RcodeServerFailure // what isn't known here, since nothing is forwarded
	for _, c := range []struct {
		name  string
		qtype uint16
		rcode int
		want  []string
	}{
		{"web.", mdns.TypeA, 0, []string{"172.30.0.2"}},
		{"WeB.", mdns.TypeA, 0, []string{"172.30.0.2"}},
		{"0123456789ab.", mdns.TypeA, 0, []string{"172.30.0.2"}},
		{"webhost.", mdns.TypeA, 0, []string{"172.30.0.2"}},
		{"front.end.", mdns.TypeA, 0, []string{"172.30.0.2"}},
		{"web.front.net.", mdns.TypeA, 0, []string{"172.30.0.2"}},
		{"front.end.front.net.", mdns.TypeA, 0, []string{"172.30.0.2"}},
		{"web.net.", mdns.TypeA, servfail, nil},
		{"web.", mdns.TypeAAAA, 0, []string{"fd00:30::2"}},
		{"db.", mdns.TypeAAAA, 0, nil},
		{"web.", mdns.TypeANY, 0, []string{"172.30.0.2", "fd00:30::2"}},
		{"db.", mdns.TypeMX, 0, nil},
		{"db.", mdns.TypeTXT, 0, nil},
		{"db.", mdns.TypeHTTPS, 0, nil},
		{"db.", mdns.TypeSRV, 0, nil},
		{"_http._tcp.db.", mdns.TypeSRV, 0, nil},
		{"_http._tcp.nosuch.", mdns.TypeSRV, servfail, nil},
		{"cache.", mdns.TypeA, servfail, nil},
		{"store.", mdns.TypeA, 0, []string{"172.30.0.3"}},
		{"Store.Front.Net.", mdns.TypeA, 0, []string{"172.30.0.3"}},
		{"secret.", mdns.TypeA, servfail, nil}, // a link doesn't reach into other networks
		{"2.0.30.172.in-addr.arpa.", mdns.TypePTR, 0, []string{"web.Front.Net."}},
		{"3.0.30.172.IN-ADDR.arpa.", mdns.TypePTR, 0, []string{"db.Front.Net."}},
		{"2.0.31.172.in-addr.arpa.", mdns.TypePTR, servfail, nil},
		{"2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.0.0.0.0.d.f.ip6.arpa.", mdns.TypePTR, 0, []string{"web.Front.Net."}},
		{"2.0.30.172.in-addr.arpa.", mdns.TypeANY, 0, []string{"web.Front.Net."}},
		{"2.0.30.172.in-addr.arpa.", mdns.TypeTXT, 0, nil},
		{"web.", mdns.TypePTR, 0, nil},
		{"web.", 0, 0, nil},
		{"web.", 65535, 0, nil},
		{".", mdns.TypeA, servfail, nil},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m := w.ask(r, network, c.name, c.qtype)
			got := values(m)
			if m.Rcode != c.rcode || !cmp.Equal(got, c.want) {
				t.Errorf("%s %s over %s: %s %v, want %s %v", c.name, mdns.TypeToString[c.qtype], network,
					mdns.RcodeToString[m.Rcode], got, mdns.RcodeToString[c.rcode], c.want)
			}
			for _, rr := range m.Answer {
				if h := rr.Header(); h.Ttl != 600 || h.Name != c.name {
					t.Errorf("%s: owner %q and TTL %d, want the name as asked and 600", c.name, h.Name, h.Ttl)
				}
			}
		}
	}
}

// TestUnknownOfAllKinds asks for what there isn't of a name that there is: no such
// query leaves.
func TestUnknownOfAllKinds(t *testing.T) {
	w := newWorld(t)
	up := w.serve(w.wire, server1, always(mdns.RcodeSuccess, "192.0.2.66"))
	r := w.start(example(), Config{Networks: []Network{{ID: "n1", Name: "front"}}, Forward: true, Upstreams: via(server1)})
	for _, c := range []struct {
		name   string
		qtype  uint16
		qclass uint16
		opcode int
		rcode  int
		want   []string
	}{
		{"web.", mdns.TypeA, mdns.ClassCHAOS, 0, 0, nil},
		{"web.", mdns.TypeTXT, mdns.ClassHESIOD, 0, 0, nil},
		{"web.", mdns.TypeA, 0, 0, 0, nil},
		{"web.", mdns.TypeA, 4711, 0, 0, nil},
		{"web.", mdns.TypeA, mdns.ClassANY, 0, 0, []string{"172.30.0.2"}},
		{"web.", 65280, mdns.ClassINET, 0, 0, nil},
		{"2.0.30.172.in-addr.arpa.", mdns.TypePTR, mdns.ClassCHAOS, 0, 0, nil},
		{"2.0.30.172.in-addr.arpa.", mdns.TypeANY, mdns.ClassANY, 0, 0, []string{"web.front."}},
		{"web.", mdns.TypeSOA, mdns.ClassINET, mdns.OpcodeNotify, mdns.RcodeNotImplemented, nil},
		{"web.", mdns.TypeSOA, mdns.ClassINET, mdns.OpcodeUpdate, mdns.RcodeNotImplemented, nil},
		{"web.", mdns.TypeA, mdns.ClassINET, mdns.OpcodeStatus, mdns.RcodeNotImplemented, nil},
		{"web.", mdns.TypeA, mdns.ClassINET, 15, mdns.RcodeNotImplemented, nil},
	} {
		for _, network := range []string{"udp", "tcp"} {
			m := w.ask(r, network, c.name, c.qtype, func(q *mdns.Msg) { q.Question[0].Qclass, q.Opcode = c.qclass, c.opcode })
			if got := values(m); m.Rcode != c.rcode || !cmp.Equal(got, c.want) {
				t.Errorf("%s over %s: %s %v, want %s %v", m.Question[0].String(), network,
					mdns.RcodeToString[m.Rcode], got, mdns.RcodeToString[c.rcode], c.want)
			}
		}
	}
	for _, q := range up.queries() {
		t.Errorf("asked for outside: %s", q.Question[0].String())
	}
}

func TestSharedAliasTakesTurns(t *testing.T) {
	w := newWorld(t)
	r := w.start(example(), Config{Networks: []Network{{ID: "n1", Name: "front"}}})
	first := map[string]bool{}
	for range 200 {
		got := values(w.ask(r, "udp", "app.", mdns.TypeA))
		if sorted := slices.Sorted(slices.Values(got)); !cmp.Equal(sorted, []string{"172.30.0.2", "172.30.0.3"}) {
			t.Fatalf("app: %v, want both addresses", got)
		}
		first[got[0]] = true
		if len(first) == 2 {
			return
		}
	}
	t.Errorf("the first answer was %v in 200 queries", first)
}

func TestLargeAnswer(t *testing.T) {
	w := newWorld(t)
	names := NewRegistry()
	for i := range 5000 {
		names.Set(Record{EndpointID: fmt.Sprint(i), NetworkID: "n1", Names: []string{"many"},
			IPv4: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})})
	}
	r := w.start(names, Config{Networks: []Network{{ID: "n1", Name: "front"}}})
	for _, c := range []struct {
		network  string
		mods     []func(*mdns.Msg)
		min, max int
	}{
		{"udp", nil, 25, 31},
		{"udp", []func(*mdns.Msg){edns(1232)}, 60, 76},
		{"udp", []func(*mdns.Msg){edns(100)}, 25, 31},
		{"tcp", nil, 4000, 4096},
	} {
		m := w.ask(r, c.network, "many.", mdns.TypeA, c.mods...)
		if n := len(m.Answer); !m.Truncated || n < c.min || n > c.max {
			t.Errorf("%s: truncated %v, %d answers, want %d to %d", c.network, m.Truncated, n, c.min, c.max)
		}
		if (m.IsEdns0() != nil) != (len(c.mods) > 0) {
			t.Errorf("%s: OPT in the reply: %v", c.network, m.IsEdns0())
		}
	}
}

func TestUpdateLive(t *testing.T) {
	w := newWorld(t)
	up := w.serve(w.wire, server1, always(mdns.RcodeSuccess, "192.0.2.80"))
	names := example()
	r := w.start(names, Config{})
	check := func(when, name string, rcode int, want ...string) {
		t.Helper()
		if m := w.ask(r, "udp", name, mdns.TypeA); m.Rcode != rcode || !cmp.Equal(values(m), want) {
			t.Errorf("%s: %s: %s %v, want %s %v", when, name, mdns.RcodeToString[m.Rcode], values(m),
				mdns.RcodeToString[rcode], want)
		}
	}
	both := []Network{{ID: "n2", Name: "back"}, {ID: "n1", Name: "front"}}
	check("no network", "web.", mdns.RcodeServerFailure)
	r.Update(Config{Networks: both})
	check("connected", "web.", 0, "172.30.0.2")
	check("connected", "cache.", 0, "172.31.0.2")
	names.Set(Record{EndpointID: "e4", NetworkID: "n2", Names: []string{"web"}, IPv4: ip("172.31.0.9")})
	check("name on both networks", "web.", 0, "172.31.0.9")
	check("name on both networks", "web.front.", 0, "172.30.0.2")
	names.Remove("e4")
	names.Set(Record{EndpointID: "e1", NetworkID: "n1", Names: []string{"web2"}, IPv4: ip("172.30.0.7")})
	check("renamed", "web2.", 0, "172.30.0.7")
	check("renamed", "web.", mdns.RcodeServerFailure)
	r.Update(Config{Networks: both[:1]})
	check("disconnected", "web2.", mdns.RcodeServerFailure)
	if n := len(up.queries()); n != 0 {
		t.Errorf("%d queries upstream before there was one", n)
	}
	r.Update(Config{Networks: both[:1], Forward: true, Upstreams: via(server1)})
	check("forwarding", "web2.", 0, "192.0.2.80")
}

// TestScopes has two sandboxes with a registry in common.
func TestScopes(t *testing.T) {
	w, names := newWorld(t), example()
	linked := w.start(names, Config{Networks: []Network{{ID: "n1", Name: "front"}}, Links: []Link{{"x", "db"}}})
	other := w.start(names, Config{Networks: []Network{{ID: "n1", Name: "front"}}})
	back := w.start(names, Config{Networks: []Network{{ID: "n2", Name: "back"}}})
	for _, c := range []struct {
		asker string
		r     *Resolver
		name  string
		want  []string
	}{
		{"linked", linked, "x.", []string{"172.30.0.3"}},
		{"other", other, "x.", nil},
		{"other", other, "db.", []string{"172.30.0.3"}},
		{"back", back, "db.", nil},
		{"back", back, "db.front.", nil},
		{"back", back, "cache.", []string{"172.31.0.2"}},
	} {
		if got := values(w.ask(c.r, "udp", c.name, mdns.TypeA)); !cmp.Equal(got, c.want) {
			t.Errorf("%s asks for %s: %v, want %v", c.asker, c.name, got, c.want)
		}
	}
}
