// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"math/rand/v2"
	"net/netip"
	"strings"

	mdns "github.com/miekg/dns"
)

const (
	// ttl of local records in seconds, as Docker has it.
	ttl = 600
	// backendTTL is that of the addresses of a service's backends, which come and go;
	// Kubernetes' DNS has the same.
	backendTTL = 5
	// maxUDP is the largest UDP payload in IPv4.
	maxUDP = 65507
)

// answer replies to what the scope knows, and returns nil for the rest.
func (s scope) answer(query *mdns.Msg) *mdns.Msg {
	q := query.Question[0]
	if addr, ok := parseReverse(q.Name); ok {
		return s.answerReverse(query, addr)
	}
	h := s.resolve(strings.TrimSuffix(service(q), "."))
	if !h.found {
		return nil
	}
	// A name of the scope without records of the type or class: NOERROR and empty,
	// which for AAAA makes clients use IPv4 and for MX is the implicit MX of RFC 5321.
	reply := success(query)
	if wants(q, mdns.TypeA) {
		reply.Answer = addresses(reply.Answer, q.Name, h.ttl(), h.v4)
	}
	if wants(q, mdns.TypeAAAA) {
		reply.Answer = addresses(reply.Answer, q.Name, h.ttl(), h.v6)
	}
	return reply
}

// wants reports whether q asks for records of the type in the class IN; ANY, the
// QTYPE or QCLASS *, is every one (RFC 1035, 3.2.3 and 3.2.5).
func wants(q mdns.Question, rrtype uint16) bool {
	return (q.Qtype == rrtype || q.Qtype == mdns.TypeANY) && (q.Qclass == mdns.ClassINET || q.Qclass == mdns.ClassANY)
}

// service returns the name that a question is about: for the SRV form
// _port._proto.name (RFC 2782) that is name.
func service(q mdns.Question) string {
	if q.Qtype != mdns.TypeSRV || !strings.HasPrefix(q.Name, "_") {
		return q.Name
	}
	parts := strings.SplitN(q.Name, ".", 3)
	if len(parts) < 3 || !strings.HasPrefix(parts[1], "_") {
		return q.Name
	}
	return parts[2]
}

func (h hosts) ttl() uint32 {
	if h.brief {
		return backendTTL
	}
	return ttl
}

// addresses appends records for addrs in random order, which spreads the
// clients over the endpoints that share an alias and over a service's backends.
func addresses(rrs []mdns.RR, name string, ttl uint32, addrs []netip.Addr) []mdns.RR {
	for _, i := range rand.Perm(len(addrs)) {
		a := addrs[i]
		hdr := mdns.RR_Header{Name: name, Class: mdns.ClassINET, Ttl: ttl}
		if a.Is4() {
			hdr.Rrtype = mdns.TypeA
			rrs = append(rrs, &mdns.A{Hdr: hdr, A: a.AsSlice()})
		} else {
			hdr.Rrtype = mdns.TypeAAAA
			rrs = append(rrs, &mdns.AAAA{Hdr: hdr, AAAA: a.AsSlice()})
		}
	}
	return rrs
}

func (s scope) answerReverse(query *mdns.Msg, addr netip.Addr) *mdns.Msg {
	name, ok := s.reverse(addr)
	if !ok {
		return nil
	}
	q := query.Question[0]
	reply := success(query)
	if wants(q, mdns.TypePTR) {
		hdr := mdns.RR_Header{Name: q.Name, Rrtype: mdns.TypePTR, Class: mdns.ClassINET, Ttl: ttl}
		reply.Answer = []mdns.RR{&mdns.PTR{Hdr: hdr, Ptr: mdns.Fqdn(name)}}
	}
	return reply
}

func success(query *mdns.Msg) *mdns.Msg {
	reply := new(mdns.Msg).SetReply(query)
	reply.RecursionAvailable = true
	return withEDNS(reply, query)
}

func failure(query *mdns.Msg, rcode int) *mdns.Msg {
	reply := new(mdns.Msg).SetRcode(query, rcode)
	reply.RecursionAvailable = true
	return withEDNS(reply, query)
}

// withEDNS adds the OPT record that a query with one must get back (RFC 6891, 6.1.1).
func withEDNS(reply, query *mdns.Msg) *mdns.Msg {
	if opt := query.IsEdns0(); opt != nil {
		reply.SetEdns0(udpSize, opt.Do())
	}
	return reply
}

// limit is the size in bytes of the largest reply that the client of query takes.
func limit(query *mdns.Msg, stream bool) int {
	if stream {
		return mdns.MaxMsgSize
	}
	if opt := query.IsEdns0(); opt != nil {
		return min(max(int(opt.UDPSize()), mdns.MinMsgSize), maxUDP)
	}
	return mdns.MinMsgSize
}
