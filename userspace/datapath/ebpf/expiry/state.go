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

// StateOf derives the state of a connection from what each direction has sent.
func (t Timeouts) StateOf(proto uint8, origin, twin flow.State) State {
	switch proto {
	case unix.IPPROTO_TCP:
		return t.tcp(origin, twin)
	case unix.IPPROTO_UDP, unix.IPPROTO_UDPLITE:
		if twin&seen == 0 {
			return State{"UNREPLIED", t.UDP, true}
		}
		return State{"ASSURED", t.UDPStream, false}
	case unix.IPPROTO_ICMP:
		return replied(twin, t.ICMP)
	case unix.IPPROTO_ICMPV6:
		return replied(twin, t.ICMPv6)
	case unix.IPPROTO_SCTP:
		return replied(twin, t.SCTP)
	}
	return replied(twin, t.Generic)
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

func replied(twin flow.State, timeout time.Duration) State {
	if twin&seen == 0 {
		return State{"UNREPLIED", timeout, true}
	}
	return State{"ASSURED", timeout, false}
}
