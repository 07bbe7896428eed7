// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"
)

// TestLoop has a sandbox whose own name servers, which know some names, ask
// 127.0.0.11 for the rest. A query that comes round must end, not multiply.
func TestLoop(t *testing.T) {
	w := newWorld(t)
	r := w.startWaiting(300*time.Millisecond, NewRegistry(), Config{Forward: true})
	back := func(rw mdns.ResponseWriter, q *mdns.Msg) {
		if q.Question[0].Name == "known." {
			always(mdns.RcodeSuccess, "192.0.2.7")(rw, q)
			return
		}
		if reply, err := w.try(r, "udp", q.Question[0].Name, q.Question[0].Qtype); err == nil {
			reply.Id = q.Id
			rw.WriteMsg(reply)
		}
	}
	own := []netip.Addr{netip.MustParseAddr("10.9.0.2"), netip.MustParseAddr("10.9.0.3")}
	servers := []*upstream{w.serve(w.box, own[0], back), w.serve(w.box, own[1], back)}
	r.Update(Config{Forward: true, Upstreams: via(own...)})
	if m := w.ask(r, "udp", "round.and.round.", mdns.TypeA); m.Rcode != mdns.RcodeServerFailure {
		t.Errorf("%s, want SERVFAIL", mdns.RcodeToString[m.Rcode])
	}
	for i, u := range servers {
		// Each attempt sends the query so often; the second attempt comes from who
		// retries as the first one ends.
		if n := len(u.queries()); n < 1 || n > 3*sendings {
			t.Errorf("server %d saw the query %d times", i, n)
		}
	}
	if got := values(w.ask(r, "udp", "known.", mdns.TypeA)); !cmp.Equal(got, []string{"192.0.2.7"}) {
		t.Errorf("a name that the server knows: %v", got)
	}
}

// TestLostDatagram has the first datagram of a query get lost. Who has asked, and who
// retries meanwhile, gets the answer all the same, from the one query under way: more
// of them would help who forges replies.
func TestLostDatagram(t *testing.T) {
	w := newWorld(t)
	arrived := make(chan struct{}, 1)
	var lost atomic.Bool
	up := w.serve(w.wire, server1, func(rw mdns.ResponseWriter, q *mdns.Msg) {
		if !lost.Swap(true) {
			arrived <- struct{}{}
			return
		}
		always(mdns.RcodeSuccess, "192.0.2.1")(rw, q)
	})
	r := w.startWaiting(upstreamTimeout, NewRegistry(), Config{Forward: true, Upstreams: via(server1)})
	first := make(chan []string, 1)
	go func() {
		m, err := w.try(r, "udp", "lost.example.", mdns.TypeA)
		if err != nil {
			t.Error(err)
			m = new(mdns.Msg)
		}
		first <- values(m)
	}()
	<-arrived
	for _, got := range [][]string{values(w.ask(r, "udp", "lost.example.", mdns.TypeA)), <-first} {
		if !cmp.Equal(got, []string{"192.0.2.1"}) {
			t.Errorf("after a lost datagram: %v", got)
		}
	}
	sent := up.queries()
	for _, q := range sent {
		if q.from != sent[0].from || q.Id != sent[0].Id {
			t.Errorf("sent from %s as %d, then from %s as %d", sent[0].from, sent[0].Id, q.from, q.Id)
		}
	}
}

// TestEqualQueries has several clients want the same at a time: the upstream is
// asked once, and each gets the reply under its ID and in its case.
func TestEqualQueries(t *testing.T) {
	w := newWorld(t)
	asked, release := make(chan struct{}, 10), make(chan struct{})
	up := w.serve(w.wire, server1, func(rw mdns.ResponseWriter, q *mdns.Msg) {
		asked <- struct{}{}
		<-release
		always(mdns.RcodeSuccess, "192.0.2.1")(rw, q)
	})
	r := w.start(NewRegistry(), Config{Forward: true, Upstreams: via(server1)})
	const clients = 20
	replies := make(chan *mdns.Msg, clients)
	name := func(i int) string { return []string{"same.example.", "SaMe.Example."}[i%2] }
	for i := range clients {
		go func() {
			m, err := w.try(r, "udp", name(i), mdns.TypeA, func(q *mdns.Msg) { q.Id = uint16(i) })
			if err != nil {
				t.Error(err)
			}
			replies <- m
		}()
	}
	<-asked
	for r.forward.slots.count() < clients {
		time.Sleep(time.Millisecond)
	}
	for _, other := range []func(*mdns.Msg){edns(1232), func(q *mdns.Msg) { q.CheckingDisabled = true }} {
		go w.try(r, "udp", "same.example.", mdns.TypeA, other)
		<-asked // another query: not waited for in vain
	}
	close(release)
	for range clients {
		m := <-replies
		if m == nil {
			continue
		}
		if got := values(m); !cmp.Equal(got, []string{"192.0.2.1"}) || m.Question[0].Name != name(int(m.Id)) {
			t.Errorf("query %d for %s: %v", m.Id, m.Question[0].Name, got)
		}
	}
	if n := len(up.queries()); n != 3 {
		t.Errorf("the upstream saw %d queries, want 1 and 2 that differ", n)
	}
}
