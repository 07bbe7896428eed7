// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"iter"
	"net/netip"
	"strconv"
	"time"

	"github.com/fairway-project/fairway/userspace/conntrack"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// tcpStates are netfilter's names by number (linux/netfilter/nf_conntrack_tcp.h).
var tcpStates = [...]string{
	"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT",
	"CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2",
}

// tcpTimeouts are the sysctls below net/netfilter by state, without their prefix.
var tcpTimeouts = [...]string{
	"", "syn_sent", "syn_recv", "established", "fin_wait",
	"close_wait", "last_ack", "time_wait", "close", "syn_sent",
}

// Flows lists the connections that netfilter tracks for endpoints; those of the
// host with others are not Fairway's. The list is read as the iteration begins.
func (d *Datapath) Flows(ctx context.Context) iter.Seq2[datapath.Flow, error] {
	return func(yield func(datapath.Flow, error) bool) {
		list, err := d.flows(ctx)
		for _, flow := range list {
			if !yield(flow, nil) {
				return
			}
		}
		if err != nil {
			yield(datapath.Flow{}, err)
		}
	}
}

func (d *Datapath) flows(ctx context.Context) (out []datapath.Flow, err error) {
	err = d.inside(ctx, func(ctx context.Context) error {
		owners := d.state.owners()
		timeouts := make(timeoutCache)
		list, err := connections(owners.has)
		if err != nil {
			return err
		}
		for _, f := range families {
			for i := range list {
				if familyOf(&list[i]) == f {
					flow := owners.flow(&list[i])
					flow.Idle = timeouts.idle(&list[i])
					out = append(out, flow)
				}
			}
		}
		return nil
	})
	return out, err
}

// owner is the endpoint that an address belongs to.
type owner struct{ endpoint, network string }

type owners map[netip.Addr]owner

func (s *state) owners() owners {
	out := make(owners, len(s.endpoints))
	for _, e := range s.endpoints {
		for _, a := range []netip.Addr{e.IPv4, e.IPv6} {
			if a.IsValid() {
				out[a] = owner{e.ID, e.NetworkID}
			}
		}
	}
	return out
}

// has reports whether an endpoint is part of a connection.
func (o owners) has(c *conntrack.Connection) bool {
	_, isFrom := o[c.Orig.Src.Addr()]
	_, isTo := o[c.Reply.Src.Addr()]
	return isFrom || isTo
}

// flow describes a connection that has an endpoint.
func (o owners) flow(c *conntrack.Connection) datapath.Flow {
	from, isFrom := o[c.Orig.Src.Addr()]
	to, isTo := o[c.Reply.Src.Addr()]
	flow := datapath.Flow{
		Proto: c.Orig.Proto,
		Src:   c.Orig.Src, Dst: c.Orig.Dst,
		NATSrc: c.Reply.Dst, NATDst: c.Reply.Src,
		State: stateName(c), Expires: c.Timeout, EndpointID: from.endpoint,
		OpenerID: from.endpoint, TargetID: to.endpoint,
	}
	dnat, snat := c.Orig.Dst != c.Reply.Src, c.Orig.Src != c.Reply.Dst
	if isEcho(c.Orig.Proto) {
		// The identifier stands in both ports of both tuples, but a request has
		// no port to be led to.
		dnat, snat = c.Orig.Dst.Addr() != c.Reply.Src.Addr(), c.Orig.Src.Addr() != c.Reply.Dst.Addr()
	}
	switch {
	case dnat && isFrom && isTo && from.network == to.network:
		flow.Kind, flow.EndpointID = "hairpin", to.endpoint
	case dnat:
		flow.Kind, flow.EndpointID = "published", to.endpoint
	case snat && isFrom:
		flow.Kind = "masquerade"
	default:
		flow.Kind = "routed"
	}
	if flow.EndpointID == "" {
		flow.EndpointID = to.endpoint
	}
	return flow
}

func isEcho(proto uint8) bool { return proto == 1 || proto == 58 }

// state is netfilter's name for TCP, else UNREPLIED, REPLIED or ASSURED.
func stateName(c *conntrack.Connection) string {
	switch {
	case c.Orig.Proto == uint8(model.TCP) && int(c.TCPState) < len(tcpStates):
		return tcpStates[c.TCPState]
	case c.Assured():
		return "ASSURED"
	case c.SeenReply():
		return "REPLIED"
	}
	return "UNREPLIED"
}

// timeoutCache holds net.netfilter.nf_conntrack_*_timeout* values by name.
type timeoutCache map[string]time.Duration

// idle is the time since the last packet: every packet sets the timeout anew.
func (t timeoutCache) idle(c *conntrack.Connection) time.Duration {
	full := t.value(timeoutName(c))
	return max(0, full-c.Timeout)
}

func timeoutName(c *conntrack.Connection) string {
	switch c.Orig.Proto {
	case uint8(model.TCP):
		if int(c.TCPState) < len(tcpTimeouts) && c.TCPState != 0 {
			return "tcp_timeout_" + tcpTimeouts[c.TCPState]
		}
	case uint8(model.UDP):
		if c.Assured() {
			return "udp_timeout_stream"
		}
		return "udp_timeout"
	case 1:
		return "icmp_timeout"
	case 58:
		return "icmpv6_timeout"
	}
	return "generic_timeout"
}

func (t timeoutCache) value(name string) time.Duration {
	if v, ok := t[name]; ok {
		return v
	}
	text, err := readSetting("net/netfilter/nf_conntrack_" + name)
	seconds, err2 := strconv.ParseUint(text, 10, 32)
	if err != nil || err2 != nil {
		seconds = 0
	}
	t[name] = time.Duration(seconds) * time.Second
	return t[name]
}
