// SPDX-License-Identifier: Apache-2.0

// Package expiry decides when a tracked connection has expired. It is arithmetic
// only: no clock and no map, so that every case is a line in a table.
package expiry

import "time"

// Timeouts say how long a connection without packets is kept. The defaults are
// netfilter's (Documentation/networking/nf_conntrack-sysctl.rst), whose names the
// fields have.
type Timeouts struct {
	TCPSynSent, TCPSynRecv, TCPEstablished time.Duration
	// TCPUnacknowledged is for connections picked up in the middle, of which
	// only one side was seen.
	TCPUnacknowledged       time.Duration
	TCPFinWait, TCPTimeWait time.Duration
	TCPClose                time.Duration
	UDP, UDPStream          time.Duration
	ICMP, ICMPv6            time.Duration
	SCTP                    time.Duration
	Generic                 time.Duration
}

// Defaults returns netfilter's defaults.
func Defaults() Timeouts {
	return Timeouts{
		TCPSynSent: 120 * time.Second, TCPSynRecv: 60 * time.Second, TCPEstablished: 5 * 24 * time.Hour,
		TCPUnacknowledged: 300 * time.Second,
		TCPFinWait:        120 * time.Second, TCPTimeWait: 120 * time.Second, TCPClose: 10 * time.Second,
		UDP: 30 * time.Second, UDPStream: 120 * time.Second,
		ICMP: 30 * time.Second, ICMPv6: 30 * time.Second,
		SCTP: 300 * time.Second, Generic: 600 * time.Second,
	}
}

// WithDefaults returns t with the default where t is zero.
func (t Timeouts) WithDefaults() Timeouts {
	d := Defaults()
	for _, f := range []struct{ have, fallback *time.Duration }{
		{&t.TCPSynSent, &d.TCPSynSent}, {&t.TCPSynRecv, &d.TCPSynRecv}, {&t.TCPEstablished, &d.TCPEstablished},
		{&t.TCPUnacknowledged, &d.TCPUnacknowledged},
		{&t.TCPFinWait, &d.TCPFinWait}, {&t.TCPTimeWait, &d.TCPTimeWait}, {&t.TCPClose, &d.TCPClose},
		{&t.UDP, &d.UDP}, {&t.UDPStream, &d.UDPStream}, {&t.ICMP, &d.ICMP}, {&t.ICMPv6, &d.ICMPv6},
		{&t.SCTP, &d.SCTP}, {&t.Generic, &d.Generic},
	} {
		if *f.have == 0 {
			*f.have = *f.fallback
		}
	}
	return t
}

// shortest is a lower bound of how long any connection is kept.
func (t Timeouts) shortest() time.Duration {
	return min(t.TCPSynSent, t.TCPSynRecv, t.TCPEstablished, t.TCPUnacknowledged, t.TCPFinWait, t.TCPTimeWait,
		t.TCPClose, t.UDP, t.UDPStream, t.ICMP, t.ICMPv6, t.SCTP, t.Generic)
}
