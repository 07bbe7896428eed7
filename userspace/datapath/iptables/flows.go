// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"iter"
	"net/netip"
	"strconv"
	"time"

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
		list, err := connections()
		if err != nil {
			return err
		}
		for _, f := range families {
			for i := range list {
				if flow, ok := owners.flow(&list[i]); ok && list[i].family() == f {
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

// flow describes a connection; ok is false where no endpoint is part of it.
func (o owners) flow(c *connection) (flow datapath.Flow, ok bool) {
	from, isFrom := o[c.orig.src.Addr()]
	to, isTo := o[c.reply.src.Addr()]
	if !isFrom && !isTo {
		return flow, false
	}
	flow = datapath.Flow{
		Proto: c.orig.proto,
		Src:   c.orig.src, Dst: c.orig.dst,
		NATSrc: c.reply.dst, NATDst: c.reply.src,
		State: c.state(), Expires: c.timeout, EndpointID: from.endpoint,
		OpenerID: from.endpoint, TargetID: to.endpoint,
	}
	dnat, snat := c.orig.dst != c.reply.src, c.orig.src != c.reply.dst
	if isEcho(c.orig.proto) {
		// The identifier stands in both ports of both tuples, but a request has
		// no port to be led to.
		dnat, snat = c.orig.dst.Addr() != c.reply.src.Addr(), c.orig.src.Addr() != c.reply.dst.Addr()
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
	return flow, true
}

func isEcho(proto uint8) bool { return proto == 1 || proto == 58 }

// state is netfilter's name for TCP, else UNREPLIED, REPLIED or ASSURED.
func (c *connection) state() string {
	switch {
	case c.orig.proto == uint8(model.TCP) && int(c.tcpState) < len(tcpStates):
		return tcpStates[c.tcpState]
	case c.status&statusAssured != 0:
		return "ASSURED"
	case c.status&statusSeenReply != 0:
		return "REPLIED"
	}
	return "UNREPLIED"
}

// timeoutCache holds net.netfilter.nf_conntrack_*_timeout* values by name.
type timeoutCache map[string]time.Duration

// idle is the time since the last packet: every packet sets the timeout anew.
func (t timeoutCache) idle(c *connection) time.Duration {
	full := t.value(c.timeoutName())
	return max(0, full-c.timeout)
}

func (c *connection) timeoutName() string {
	switch c.orig.proto {
	case uint8(model.TCP):
		if int(c.tcpState) < len(tcpTimeouts) && c.tcpState != 0 {
			return "tcp_timeout_" + tcpTimeouts[c.tcpState]
		}
	case uint8(model.UDP):
		if c.status&statusAssured != 0 {
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
