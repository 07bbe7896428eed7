// SPDX-License-Identifier: Apache-2.0

package expiry

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
)

const (
	seen = object.DatapathFlowStateFLOW_SEEN
	syn  = object.DatapathFlowStateFLOW_SYN
	ack  = object.DatapathFlowStateFLOW_ACK
	fin  = object.DatapathFlowStateFLOW_FIN
	rst  = object.DatapathFlowStateFLOW_RST
)

// State is what a connection is in, by netfilter's name, with the time that it is
// kept for.
type State struct {
	Name    string
	Timeout time.Duration
	// Weak states, unreplied and closing, go sooner when a table fills up.
	Weak bool
}

// StateOf derives the state of a connection from what each direction has sent, and when.
func (j Judge) StateOf(c Connection) State {
	t := j.Timeouts
	switch c.Proto {
	case unix.IPPROTO_TCP:
		return t.tcp(c.OriginState, c.TwinState)
	case unix.IPPROTO_UDP, unix.IPPROTO_UDPLITE:
		return j.byAnswer(c, t.UDP, t.UDPStream)
	case unix.IPPROTO_ICMP:
		return j.byAnswer(c, t.ICMP, t.ICMP)
	case unix.IPPROTO_ICMPV6:
		return j.byAnswer(c, t.ICMPv6, t.ICMPv6)
	case unix.IPPROTO_SCTP:
		return j.byAnswer(c, t.SCTP, t.SCTP)
	}
	return j.byAnswer(c, t.Generic, t.Generic)
}

func (t Timeouts) tcp(origin, twin flow.State) State {
	both := origin & twin
	switch {
	case (origin|twin)&rst != 0:
		return State{"CLOSE", t.TCPClose, true}
	case both&fin != 0:
		return State{"TIME_WAIT", t.TCPTimeWait, true}
	case (origin|twin)&fin != 0:
		return State{"FIN_WAIT", t.TCPFinWait, true}
	case both&ack != 0:
		return State{"ESTABLISHED", t.TCPEstablished, false}
	case both&syn != 0:
		return State{"SYN_RECV", t.TCPSynRecv, true}
	case (origin|twin)&syn != 0:
		return State{"SYN_SENT", t.TCPSynSent, true}
	}
	return State{"ESTABLISHED", t.TCPUnacknowledged, true}
}

// byAnswer is the state of what has no handshake: what was answered once is as weak as
// what wasn't.
func (j Judge) byAnswer(c Connection, short, stream time.Duration) State {
	switch {
	case c.TwinState&seen == 0:
		return State{"UNREPLIED", short, true}
	case !j.assured(c):
		return State{"REPLIED", short, true}
	}
	return State{"ASSURED", stream, false}
}

// assured is flow_is_assured of bpf/flow.h.
func (j Judge) assured(c Connection) bool {
	const enough = 2
	goesOn := func(last uint32) bool {
		return int32(last-c.OriginBegun) >= int32(enough*j.HZ) && int32(last-c.TwinBegun) > 0
	}
	return c.OriginBegun == 0 || c.TwinBegun == 0 || goesOn(c.OriginSeen) || goesOn(c.TwinSeen)
}
