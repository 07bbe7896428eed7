// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/miekg/dns"
)

// Names, aliases and addresses of the asker's networks, and of no other.
func TestNamesInScope(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a", "--alias", "web", "--hostname", "first")
		c2 := e.Sandbox(t, "c2", "--network", "a", "--alias", "web")
		newUpstream(t, e.LAN1)
		c3 := e.Sandbox(t, "c3", "--network", "b", "--dns", harness.LAN1IP4)
		f4, f6 := harness.V4(), harness.V6()
		for name, want := range map[string]*harness.Sandbox{"c2": c2, "C2": c2, "c2.a": c2, c2.ID[:12]: c2, "c1": c1, "first": c1} {
			expectAnswer(t, c1, name, dns.TypeA, want.IP(t, "a", f4))
			expectAnswer(t, c1, name, dns.TypeAAAA, want.IP(t, "a", f6))
		}
		expectAnswer(t, c1, "web", dns.TypeA, c1.IP(t, "a", f4), c2.IP(t, "a", f4))
		expectAnswer(t, c1, reverse(t, c2.IP(t, "a", f4)), dns.TypePTR, "c2.a.")
		expectAnswer(t, c1, reverse(t, c2.IP(t, "a", f6)), dns.TypePTR, "c2.a.")
		for _, name := range []string{"c1", "web", "c1.a"} {
			if m, err := ask(c3, "udp", name, dns.TypeA); err == nil && len(m.Answer) > 0 {
				t.Errorf("c3 of another network resolves %s: %v", name, m.Answer)
			}
		}
	})
}

// Shared aliases take turns.
func TestRoundRobin(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		for i := range 3 {
			e.Sandbox(t, fmt.Sprint("s", i), "--network", "a", "--alias", "web")
		}
		c := e.Sandbox(t, "c", "--network", "a")
		first := map[string]bool{}
		harness.Eventually(t, "all three to be first once", func() error {
			m, err := ask(c, "udp", "web", dns.TypeA)
			if err == nil {
				first[answers(m)[0]] = true
			}
			if err == nil && len(first) < 3 {
				err = fmt.Errorf("first were %v", first)
			}
			return err
		})
	})
}

// The rest goes to the servers given, over UDP and TCP; a name that only has
// IPv4 gives no error for IPv6, and is never asked for outside.
func TestForwarding(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		upstream := newUpstream(t, e.LAN1)
		c1 := e.Sandbox(t, "c1", "--network", "a", "--dns", harness.LAN1IP4, "--dns-search", "example.net", "--dns-option", "ndots:2")
		for _, proto := range []string{"udp", "tcp"} {
			m, err := ask(c1, proto, "www.example.net", dns.TypeA)
			if err != nil || !slices.Equal(answers(m), []string{"203.0.113.80"}) {
				t.Errorf("%s: %v, %v", proto, m, err)
			}
		}
		before := upstream.Load()
		if m, err := ask(c1, "udp", "c1", dns.TypeMX); err != nil || m.Rcode != dns.RcodeSuccess {
			t.Errorf("MX of a sandbox: %v, %v", m, err)
		}
		if got := upstream.Load(); got != before {
			t.Error("the name of a sandbox was asked for outside")
		}
		conf := e.Must(t, "exec", "c1", "--", "cat", "/etc/resolv.conf")
		for _, line := range []string{"nameserver 127.0.0.11", "search example.net", "ndots:2"} {
			if !strings.Contains(conf, line) {
				t.Errorf("resolv.conf lacks %q:\n%s", line, conf)
			}
		}
		// The sandbox's own resolver library finds its way with these files.
		if out := e.Must(t, "exec", "c1", "--", os.Getenv(harness.EnvPeer), "lookup", "www"); out != "203.0.113.80" {
			t.Errorf("lookup of www: %q", out)
		}
		busyAsker(t, e, c1, upstream)
		loopOfResolvers(t, e)
	})
}

// busyAsker has c1 wait for many names that outside nobody answers, and hold more
// connections than its resolver accepts: others don't notice, and c1 little.
func busyAsker(t *testing.T, e *harness.Env, c1 *harness.Sandbox, upstream *atomic.Int64) {
	const slow, idle = 300, 150
	c2 := e.Sandbox(t, "c2", "--network", "a", "--dns", harness.LAN1IP4)
	before := upstream.Load()
	waiting := dialResolver(t, c1, "udp")
	for i := range slow {
		q := new(dns.Msg).SetQuestion(fmt.Sprintf("%d.slow.example.net.", i), dns.TypeA)
		if err := (&dns.Conn{Conn: waiting}).WriteMsg(q); err != nil {
			t.Fatal(err)
		}
		// Not all at once, for the socket's buffer.
		harness.Eventually(t, "the query to arrive outside", func() error {
			if got := upstream.Load() - before; got <= int64(i) {
				return fmt.Errorf("%d of %d arrived", got, i+1)
			}
			return nil
		})
	}
	var open []net.Conn
	for range idle {
		c := dialResolver(t, c1, "tcp")
		if _, err := c.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	expectAnswer(t, c2, "c1", dns.TypeA, c1.IP(t, "a", harness.V4()))
	expectAnswer(t, c2, "www.example.net", dns.TypeA, "203.0.113.80")
	for name, want := range map[string]string{"c2": c2.IP(t, "a", harness.V4()), "www.example.net": "203.0.113.80"} {
		if m, err := ask(c1, "udp", name, dns.TypeA); err != nil || !slices.Equal(answers(m), []string{want}) {
			t.Errorf("the busy one asks for %s: %v, %v", name, m, err)
		}
	}
	for _, c := range open {
		c.Close()
	}
	expectAnswer(t, c1, "c2", dns.TypeA, c2.IP(t, "a", harness.V4()))
}

// loopOfResolvers has a sandbox whose own name server asks 127.0.0.11 for what it
// doesn't know, which asks that server: a query comes round once.
func loopOfResolvers(t *testing.T, e *harness.Env) {
	own := harness.Addr(harness.V4(), numA, 99)
	c3 := e.Sandbox(t, "c3", "--network", "a", "--ip", own, "--dns", own)
	var round atomic.Int64
	serveNames(t, c3.Netns, func(w dns.ResponseWriter, q *dns.Msg) {
		if q.Question[0].Name == "known.example." {
			_ = w.WriteMsg(new(dns.Msg).SetReply(q))
			return
		}
		round.Add(1)
		if m, err := ask(c3, "udp", q.Question[0].Name, q.Question[0].Qtype); err == nil {
			m.Id = q.Id
			_ = w.WriteMsg(m)
		}
	})
	c := dialResolver(t, c3, "udp")
	if err := (&dns.Conn{Conn: c}).WriteMsg(new(dns.Msg).SetQuestion("unknown.example.", dns.TypeA)); err != nil {
		t.Fatal(err)
	}
	// While these go there and back many times, the other would, too.
	for range 50 {
		if m, err := ask(c3, "udp", "known.example", dns.TypeA); err != nil || m.Rcode != dns.RcodeSuccess {
			t.Fatalf("a name that its server knows: %v, %v", m, err)
		}
	}
	if n := round.Load(); n < 1 || n > 3 {
		t.Errorf("one query came round %d times", n)
	}
}

// dialResolver connects to the sandbox's resolver until the test ends.
func dialResolver(t *testing.T, s *harness.Sandbox, proto string) (c net.Conn) {
	t.Helper()
	if err := s.Do(func() (err error) { c, err = net.Dial(proto, "127.0.0.11:53"); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// SEC-15: a sandbox of an internal network gets no answer from outside, and no
// query leaves.
func TestInternalNetworkForwardsNothing(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "i", numI, "--internal")
		upstream := newUpstream(t, e.LAN1)
		c4 := e.Sandbox(t, "c4", "--network", "i", "--dns", harness.LAN1IP4)
		expectAnswer(t, c4, "c4", dns.TypeA, c4.IP(t, "i", harness.V4()))
		m, err := ask(c4, "udp", "www.example.net", dns.TypeA)
		if err != nil || m.Rcode == dns.RcodeSuccess {
			t.Errorf("external name: %v, %v; want an error code", m, err)
		}
		if got := upstream.Load(); got != 0 {
			t.Errorf("%d queries left", got)
		}
	})
}

// Links give names on user-defined networks.
func TestLinks(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		newUpstream(t, e.LAN1)
		db := e.Sandbox(t, "db", "--network", "a")
		c1 := e.Sandbox(t, "c1", "--network", "a", "--link", "db:store")
		c2 := e.Sandbox(t, "c2", "--network", "a", "--dns", harness.LAN1IP4)
		expectAnswer(t, c1, "store", dns.TypeA, db.IP(t, "a", harness.V4()))
		if m, err := ask(c2, "udp", "store", dns.TypeA); err == nil && len(m.Answer) > 0 {
			t.Errorf("c2 knows another's link: %v", m.Answer)
		}
	})
}

// The default network has no names; links make entries in /etc/hosts.
func TestDefaultNetworkHasNoNames(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		db := e.Sandbox(t, "db")
		e.Sandbox(t, "c1", "--link", "db:store", "--add-host", "printer:192.0.2.77", "--hostname", "first")
		hosts := e.Must(t, "exec", "c1", "--", "cat", "/etc/hosts")
		own := e.Inspect(t, "c1").NetworkSettings.Networks["bridge"].IPAddress
		for _, want := range []string{db.NetworkSettings.Networks["bridge"].IPAddress + "\tstore", "192.0.2.77\tprinter", own + "\tfirst", "127.0.0.1\tlocalhost"} {
			if !strings.Contains(hosts, want) {
				t.Errorf("/etc/hosts lacks %q:\n%s", want, hosts)
			}
		}
		if got := e.Must(t, "exec", "c1", "--", "cat", "/etc/hostname"); got != "first" {
			t.Errorf("/etc/hostname has %q", got)
		}
		if got := e.Must(t, "exec", "c1", "--", "hostname"); got != "first" {
			t.Errorf("hostname is %q", got)
		}
	})
}

func ask(s *harness.Sandbox, proto, name string, kind uint16) (m *dns.Msg, err error) {
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), kind)
	var c net.Conn
	if err := s.Do(func() error { c, err = net.DialTimeout(proto, "127.0.0.11:53", 2*time.Second); return err }); err != nil {
		return nil, err
	}
	defer c.Close()
	m, _, err = (&dns.Client{Net: proto, Timeout: 5 * time.Second}).ExchangeWithConn(q, &dns.Conn{Conn: c})
	return m, err
}

func answers(m *dns.Msg) (list []string) {
	for _, rr := range m.Answer {
		f := strings.Split(rr.String(), "\t")
		list = append(list, f[len(f)-1])
	}
	return list
}

func expectAnswer(t *testing.T, s *harness.Sandbox, name string, kind uint16, want ...string) {
	t.Helper()
	for _, proto := range []string{"udp", "tcp"} {
		m, err := ask(s, proto, name, kind)
		if err != nil {
			t.Errorf("%s asks for %s over %s: %v", s.Name, name, proto, err)
			continue
		}
		got := answers(m)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s asks for %s %s over %s: %v, want %v", s.Name, dns.TypeToString[kind], name, proto, got, want)
		}
	}
}

func reverse(t *testing.T, addr string) string {
	t.Helper()
	name, err := dns.ReverseAddr(addr)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// newUpstream is a name server outside that knows www.example.net, says nothing of
// names below slow.example.net, and counts queries.
func newUpstream(t *testing.T, n *harness.Netns) *atomic.Int64 {
	t.Helper()
	var queries atomic.Int64
	serveNames(t, n, func(w dns.ResponseWriter, q *dns.Msg) {
		queries.Add(1)
		m := new(dns.Msg)
		m.SetReply(q)
		switch {
		case strings.HasSuffix(q.Question[0].Name, ".slow.example.net."):
			return
		case q.Question[0].Name != "www.example.net.":
			m.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			rr, err := dns.NewRR("www.example.net. 60 IN A 203.0.113.80")
			if err == nil {
				m.Answer = append(m.Answer, rr)
			}
		}
		_ = w.WriteMsg(m)
	})
	return &queries
}

// serveNames runs a name server in n until the test ends.
func serveNames(t *testing.T, n *harness.Netns, handler dns.HandlerFunc) {
	t.Helper()
	err := n.Do(func() error {
		pc, err := net.ListenPacket("udp4", ":53")
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp4", ":53")
		if err != nil {
			return err
		}
		for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
			go func() { _ = s.ActivateAndServe() }()
		}
		t.Cleanup(func() { pc.Close(); l.Close() })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
