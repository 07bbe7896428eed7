// SPDX-License-Identifier: Apache-2.0

package expiry

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fairway-project/fairway/maps/flow"
)

const (
	tcp, udp, icmp, icmp6, sctp, gre = 6, 17, 1, 58, 132, 47
	hz                               = 250
)

func TestStates(t *testing.T) {
	for _, c := range []struct {
		proto        uint8
		origin, twin flow.State
		name         string
		seconds      int
		weak         bool
	}{
		{tcp, seen | syn, 0, "SYN_SENT", 120, true},
		{tcp, seen | syn, seen | syn | ack, "SYN_RECV", 60, true},
		{tcp, seen | syn | ack, seen | syn | ack, "ESTABLISHED", 432000, false},
		{tcp, seen | ack, seen | ack, "ESTABLISHED", 432000, false},
		{tcp, seen | ack, 0, "ESTABLISHED", 300, true},
		{tcp, seen | syn | ack | fin, seen | syn | ack, "FIN_WAIT", 120, true},
		{tcp, seen | syn | ack, seen | syn | ack | fin, "FIN_WAIT", 120, true},
		{tcp, seen | syn | ack | fin, seen | syn | ack | fin, "TIME_WAIT", 120, true},
		{tcp, seen | syn, seen | rst | ack, "CLOSE", 10, true},
		{tcp, seen | syn | ack | fin | rst, seen | syn | ack | fin, "CLOSE", 10, true},
		{udp, seen, 0, "UNREPLIED", 30, true},
		{icmp, seen, 0, "UNREPLIED", 30, true},
		{gre, seen, 0, "UNREPLIED", 600, true},
	} {
		got := Judge{Timeouts: Defaults()}.StateOf(Connection{Proto: c.proto, OriginState: c.origin, TwinState: c.twin})
		if want := (State{c.name, time.Duration(c.seconds) * time.Second, c.weak}); got != want {
			t.Errorf("proto %d, states %#x and %#x: got %+v, want %+v", c.proto, uint32(c.origin), uint32(c.twin), got, want)
		}
	}
}

// What has no handshake is assured by what netfilter takes for a stream of UDP.
func TestAssured(t *testing.T) {
	const begin = ^uint32(0) - hz // jiffies wrap within the flow
	replied, assured := State{"REPLIED", 30 * time.Second, true}, State{"ASSURED", 120 * time.Second, false}
	at := func(tenths uint32) uint32 { return begin + tenths*hz/10 }
	for name, c := range map[string]struct {
		originSeen, answered, twinSeen uint32
		want                           State
	}{
		"question and answer":            {at(0), at(1), at(0), replied},
		"two within the time":            {at(15), at(1), at(15), replied},
		"question at the end":            {at(20), at(1), at(0), assured},
		"answer at the end":              {at(0), at(1), at(20), assured},
		"question again, late answer":    {at(50), at(50), at(50), replied},
		"late answer, question after it": {at(60), at(50), at(50), assured},
		"late answer, another after it":  {at(0), at(50), at(60), assured},
		"answered long ago":              {at(0), 0, at(0), assured},
	} {
		got := Judge{Timeouts: Defaults(), HZ: hz}.StateOf(Connection{
			Proto: udp, OriginState: seen, TwinState: seen,
			OriginBegun: begin, OriginSeen: c.originSeen, TwinBegun: c.answered, TwinSeen: c.twinSeen,
		})
		if got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
	for proto, want := range map[uint8]State{
		udp: assured, icmp: {"ASSURED", 30 * time.Second, false}, icmp6: {"ASSURED", 30 * time.Second, false},
		sctp: {"ASSURED", 300 * time.Second, false}, gre: {"ASSURED", 600 * time.Second, false},
	} {
		// As before this was taken down.
		if got := (Judge{Timeouts: Defaults(), HZ: hz}).StateOf(Connection{Proto: proto, OriginState: seen, TwinState: seen}); got != want {
			t.Errorf("proto %d, begun nobody knows when: got %+v, want %+v", proto, got, want)
		}
		c := Connection{Proto: proto, OriginState: seen, TwinState: seen, OriginBegun: begin, OriginSeen: begin, TwinBegun: begin, TwinSeen: begin}
		if got := (Judge{Timeouts: Defaults(), HZ: hz}).StateOf(c); got.Name != "REPLIED" || !got.Weak {
			t.Errorf("proto %d, answered once: got %+v", proto, got)
		}
	}
}

func TestWithDefaultsKeepsWhatIsSet(t *testing.T) {
	got := Timeouts{UDP: time.Second}.WithDefaults()
	want := Defaults()
	want.UDP = time.Second
	if got != want {
		t.Errorf("got %+v", got)
	}
}

func TestIdleWraps(t *testing.T) {
	const now = uint32(100)
	j := Judge{Now: now, HZ: hz}
	for last, want := range map[uint32]time.Duration{
		now:              0,
		now + 1:          0, // a packet came after Now was read
		now + 59*hz:      0,
		now - 50:         200 * time.Millisecond,
		^uint32(0) - 899: 4 * time.Second, // before the wrap
		now + 1<<31:      time.Duration(1<<31) * time.Second / hz,
	} {
		if got := j.Idle(last); got != want {
			t.Errorf("seen at %d: got %s, want %s", last, got, want)
		}
	}
}

func TestPressure(t *testing.T) {
	for _, c := range []struct {
		name  string
		state flow.State
		fill  float64
		want  time.Duration
	}{
		{"roomy, unreplied", seen | syn, 0.5, 120 * time.Second},
		{"pressed, unreplied", seen | syn, 0.8, 30 * time.Second},
		{"pressed, established", seen | ack, 0.94, 5 * 24 * time.Hour},
		{"crowded, established", seen | ack, 0.95, time.Hour},
	} {
		j := Judge{Timeouts: Defaults(), Now: 1e6, HZ: hz, Fill: c.fill}
		twin := flow.State(0)
		if c.state&ack != 0 {
			twin = seen | ack
		}
		got := j.Left(Connection{Proto: tcp, OriginState: c.state, TwinState: twin, OriginSeen: j.Now, TwinSeen: j.Now})
		if got != c.want {
			t.Errorf("%s: %s left, want %s", c.name, got, c.want)
		}
	}
}

func TestNewerHalfCounts(t *testing.T) {
	j := Judge{Timeouts: Defaults(), Now: 1e6, HZ: hz}
	c := Connection{Proto: udp, OriginState: seen, TwinState: seen, OriginSeen: j.Now - 500*hz, TwinSeen: j.Now - 20*hz}
	if got := j.Left(c); got != 100*time.Second {
		t.Errorf("%s left, want 100s", got)
	}
}

// What Fresh lets pass unseen would not have expired, whatever the twin is.
func TestFreshNeverHidesAnExpiredConnection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := Judge{Timeouts: Defaults(), HZ: hz, Now: rapid.Uint32().Draw(t, "now"), Fill: rapid.Float64Range(0, 1).Draw(t, "fill")}
		state := rapid.Uint32Range(0, 31)
		c := Connection{
			Proto:       rapid.SampledFrom([]uint8{tcp, udp, icmp, icmp6, sctp, gre}).Draw(t, "proto"),
			OriginState: flow.State(state.Draw(t, "origin")), TwinState: flow.State(state.Draw(t, "twin")),
			OriginSeen: j.Now - rapid.Uint32Range(0, 700*hz).Draw(t, "origin age"),
			TwinSeen:   j.Now - rapid.Uint32Range(0, 700*hz).Draw(t, "twin age"),
		}
		if j.Fresh(c.OriginSeen) && j.Left(c) <= 0 {
			t.Fatalf("fresh, and expired: %+v", c)
		}
		if j.Fresh(c.OriginSeen) && j.OrphanExpired(c.OriginSeen) {
			t.Fatalf("fresh, and an expired orphan: %+v", c)
		}
	})
}

// More time or a fuller table never makes a connection live longer.
func TestLeftIsMonotonic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Judge{Timeouts: Defaults(), HZ: hz, Now: rapid.Uint32().Draw(t, "now"), Fill: rapid.Float64Range(0, 1).Draw(t, "fill")}
		state := rapid.Uint32Range(0, 31)
		seenAt := a.Now - rapid.Uint32Range(0, 1e8).Draw(t, "age")
		c := Connection{
			Proto:       rapid.SampledFrom([]uint8{tcp, udp, icmp, sctp}).Draw(t, "proto"),
			OriginState: flow.State(state.Draw(t, "origin")), TwinState: flow.State(state.Draw(t, "twin")),
			OriginSeen: seenAt, TwinSeen: seenAt,
		}
		later, fuller := a, a
		later.Now += rapid.Uint32Range(0, 1e8).Draw(t, "wait")
		fuller.Fill = rapid.Float64Range(a.Fill, 1).Draw(t, "fuller")
		if later.Left(c) > a.Left(c) || fuller.Left(c) > a.Left(c) {
			t.Fatalf("%s left, later %s, fuller %s", a.Left(c), later.Left(c), fuller.Left(c))
		}
	})
}
