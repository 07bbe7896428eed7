// SPDX-License-Identifier: Apache-2.0

package frame

import "github.com/fairway-project/fairway/userspace/model"

// TCP makes it a segment; flags are letters of "FSRPA".
func (f Frame) TCP(src, dst uint16, flags string) Frame {
	f.transport, f.srcPort, f.dstPort, f.flags = tcp, src, dst, flags
	return f
}

// Seq sets sequence and acknowledgement numbers.
func (f Frame) Seq(seq, ack uint32) Frame {
	f.seq, f.ack = seq, ack
	return f
}

// Flags replaces TCP's flags.
func (f Frame) Flags(flags string) Frame {
	f.flags = flags
	return f
}

// UDP makes it a datagram.
func (f Frame) UDP(src, dst uint16) Frame {
	f.transport, f.srcPort, f.dstPort = udp, src, dst
	return f
}

// SCTP makes it an INIT chunk's packet.
func (f Frame) SCTP(src, dst uint16) Frame {
	f.transport, f.srcPort, f.dstPort = sctp, src, dst
	return f
}

// Echo makes it an echo request of the family's ICMP.
func (f Frame) Echo(id uint16) Frame {
	f.transport, f.srcPort, f.dstPort = echoRequest, id, 0
	return f
}

// EchoReply makes it the answer to Echo.
func (f Frame) EchoReply(id uint16) Frame {
	f.transport, f.srcPort, f.dstPort = echoReply, id, 0
	return f
}

// ICMP makes it any other message: word is the second half of the header.
func (f Frame) ICMP(kind, code uint8, word uint32, body []byte) Frame {
	f.transport, f.icmpType, f.code, f.word, f.payload = icmp, kind, code, word, body
	return f
}

// Proto makes it an IP packet of a protocol without ports, like GRE.
func (f Frame) Proto(n uint8) Frame {
	f.transport, f.proto, f.srcPort, f.dstPort = protocol, n, 0, 0
	return f
}

// Numbers of protocols and of ICMP messages that tests name.
const (
	GRE  = 47
	SCTP = 132

	HopByHop    = 0
	DestOptions = 60

	Unreachable4   = 3
	Redirect4      = 5
	TimeExceeded4  = 11
	ParamProblem4  = 12
	Timestamp4     = 13
	Unreachable6   = 1
	TooBig6        = 2
	TimeExceeded6  = 3
	RouterSolicit  = 133
	RouterAdvert   = 134
	NeighborSolict = 135
	NeighborAdvert = 136
	Redirect6      = 137
	MLD2Report     = 143
)

// ARP is the content of an ARP packet.
type ARP struct {
	Reply                bool
	SenderMAC, TargetMAC model.MAC
	Sender, Target       [4]byte
}

// ARP makes it one.
func (f Frame) ARP(a ARP) Frame {
	f.transport, f.arp = arp, a
	return f
}

// Reply returns the frame that answers f: all addresses and ports swapped, the
// TTL fresh.
func (f Frame) Reply() Frame {
	f.src, f.dst = f.dst, f.src
	f.srcMAC, f.dstMAC = f.dstMAC, f.srcMAC
	f.ttl = 64
	switch f.transport {
	case echoRequest:
		f.transport = echoReply
	case echoReply:
		f.transport = echoRequest
	default:
		f.srcPort, f.dstPort = f.dstPort, f.srcPort
	}
	return f
}
