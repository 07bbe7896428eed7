// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// servingRules lead to the chains of services. They are there while there is a service.
// An address of a service wins over a port that is published on all addresses, so that
// they stand before the jumps to those.
func servingRules() []Rule {
	return []Rule{
		newRule(tableFilter, "INPUT", "-m conntrack --ctstate NEW -j %s", chainServices).atHead(),
		// What the host sends to itself is a connection before it comes in, and one that was
		// refused there would be so again from the same port when somebody serves. Of UDP the
		// connections are ended then; a socket would be told that it mayn't send.
		newRule(tableFilter, "OUTPUT", "-p tcp -m conntrack --ctstate NEW -m addrtype --dst-type LOCAL -j %s", chainServices).atHead(),
		newRule(tableNAT, "PREROUTING", "-m addrtype --dst-type LOCAL -j %s", chainServices).atHead(),
		newRule(tableNAT, "OUTPUT", "-m addrtype --dst-type LOCAL -j %s", chainServices).atHead(),
		newRule(tableNAT, "POSTROUTING", "-m conntrack --ctstate DNAT -j %s", chainHairpin),
	}
}

// served is a service with what its rules depend on.
type served struct {
	*datapath.Service
	networks   map[string]datapath.Network
	endpoints  map[string]datapath.Endpoint
	masquerade model.PortRange
}

// backend is one that packets can go to.
type backend struct {
	datapath.Backend
	// network is nil for an address outside.
	network *datapath.Network
}

// backends are those of a pool in one family which aren't down, in a fixed order.
func (s *served) backends(f Family, pool int) []backend {
	if pool < 0 || pool >= len(s.Pools) {
		return nil
	}
	var out []backend
	for _, b := range s.Pools[pool].Backends {
		if !f.has(b.Target.Addr()) || s.down(&b) {
			continue
		}
		of := backend{Backend: b}
		if b.EndpointID != "" {
			n := s.networks[s.endpoints[b.EndpointID].NetworkID]
			of.network = &n
		}
		out = append(out, of)
	}
	slices.SortFunc(out, func(a, b backend) int { return a.Target.Compare(b.Target) })
	return slices.CompactFunc(out, func(a, b backend) bool { return a.Target == b.Target })
}

// down reports whether a backend has no flows: one whose endpoint is gone has none either.
func (s *served) down(b *datapath.Backend) bool {
	if b.State == model.BackendDown {
		return true
	}
	if b.EndpointID == "" {
		return false
	}
	_, known := s.networks[s.endpoints[b.EndpointID].NetworkID]
	return !known
}

// choice are the backends of a pool that get new flows.
func (s *served) choice(f Family, pool int) []backend {
	return slices.DeleteFunc(s.backends(f, pool), func(b backend) bool { return b.State != model.BackendActive })
}

// rules of the service in one family.
func (s *served) rules(f Family) []Rule {
	var rules []Rule
	for i := range s.Fronts {
		if fr := &s.Fronts[i]; f.has(fr.Addr) && s.present(fr) {
			rules = append(rules, s.frontRules(f, fr)...)
		}
	}
	rules = append(rules, s.answerRules(f)...)
	return unique(rules)
}

// present reports whether the front's network is there; of a published one it always is.
func (s *served) present(fr *datapath.Front) bool {
	_, ok := s.networks[fr.NetworkID]
	return ok || fr.NetworkID == ""
}

// frontRules lead what is sent to a front to its pool, and refuse what mayn't get there.
func (s *served) frontRules(f Family, fr *datapath.Front) []Rule {
	rules := s.guardRules(f, fr)
	choice := s.choice(f, fr.Pool)
	if fr.HostOnly {
		choice = append(s.choice(IPv4, fr.Pool), s.choice(IPv6, fr.Pool)...)
	}
	proxied := hostOnly(fr)
	if !proxied {
		// Also where nobody gets new flows: the open ones of backends that drain need them.
		for _, b := range s.backends(f, fr.Pool) {
			rules = append(rules, passRules(f, fr.Port.Proto, &b)...)
		}
	}
	if len(choice) == 0 {
		rules = append(rules, s.nobodyServes(f, fr)...)
	}
	if proxied {
		return rules
	}
	if len(s.Sources) > 0 {
		rules = append(rules, s.keepsOut(f, fr))
	}
	if len(choice) == 0 {
		return rules
	}
	rules = append(rules, s.entryRules(f, fr)...)
	rules = append(rules, s.poolRules(f, fr, choice)...)
	return append(rules, s.translated(f, fr))
}

// hostOnly reports whether only the host gets to the front, by the proxy.
func hostOnly(fr *datapath.Front) bool { return fr.HostOnly || fr.Addr == netip.IPv6Loopback() }

// guardRules close a front's address to those who mayn't use it, before anything is
// translated: that of a network to others, as its endpoints' are, and a loopback one to
// what comes from outside, which route_localnet would let in.
func (s *served) guardRules(f Family, fr *datapath.Front) []Rule {
	host := f.host(fr.Addr)
	if fr.NetworkID != "" {
		group := s.ID + " " + host
		return []Rule{
			newRule(tableRaw, "PREROUTING", "-d %s -i lo -j ACCEPT", host).inGroup(group),
			newRule(tableRaw, "PREROUTING", "-d %s ! -i %s -j DROP", host, s.networks[fr.NetworkID].Device.Name).inGroup(group),
		}
	}
	if f == IPv4 && fr.Addr.IsLoopback() {
		return []Rule{newRule(tableRaw, "PREROUTING", "-d %s ! -i lo -p %[2]s -m %[2]s --dport %[3]d -j DROP",
			host, fr.Port.Proto, fr.Port.Num)}
	}
	return nil
}

// toFront matches a front's address, which may be any of the host's.
func (f Family) toFront(fr *datapath.Front) string {
	match := fmt.Sprintf("-p %[1]s -m %[1]s --dport %[2]d", fr.Port.Proto, fr.Port.Num)
	if fr.Addr.IsUnspecified() {
		return match
	}
	return "-d " + f.host(fr.Addr) + " " + match
}

// nobodyServes refuses clients of a front that no backend serves: those that may use it. Where
// others mayn't, the rules go to the head, before those that drop all (keepsOut).
func (s *served) nobodyServes(f Family, fr *datapath.Front) []Rule {
	to, target := f.toFront(fr), "REJECT --reject-with "+f.rejection(fr.Port.Proto)
	if len(s.Sources) == 0 || hostOnly(fr) {
		return []Rule{newRule(tableFilter, chainServices, "%s -j %s", to, target)}
	}
	var rules []Rule
	for _, match := range s.mayUse(f, to) {
		rules = append(rules, newRule(tableFilter, chainServices, "%s -j %s", match, target).atHead())
	}
	return rules
}

// keepsOut drops what comes to a front from elsewhere than the service's sources. It meets what
// comes to the host itself because nothing translated it.
func (s *served) keepsOut(f Family, fr *datapath.Front) Rule {
	return newRule(tableFilter, chainServices, "%s -j DROP", f.toFront(fr))
}

// mayUse matches those who may use a service that isn't for all: its sources, and the host.
func (s *served) mayUse(f Family, to string) []string {
	var all []string
	for _, source := range s.Sources {
		switch {
		case !f.has(source.Addr()):
		case source.Bits() == 0:
			all = append(all, to) // -s for everybody isn't printed
		default:
			all = append(all, fmt.Sprintf("-s %s %s", source.Masked(), to))
		}
	}
	return append(all, to+" -m addrtype --src-type LOCAL")
}

// rejection is the answer to a client that no backend serves.
func (f Family) rejection(proto model.Proto) string {
	switch {
	case proto == model.TCP:
		return "tcp-reset"
	case f == IPv6:
		return "icmp6-port-unreachable"
	}
	return "icmp-port-unreachable"
}

// entryRules lead to the chain of the front's pool. Those of one address go to the head,
// so that they win over those of all addresses. The host may use every service: it
// reaches the backends themselves, too.
func (s *served) entryRules(f Family, fr *datapath.Front) []Rule {
	to, chain := f.toFront(fr), poolChain(s.ID, fr.Pool, fr.Port.Proto)
	if f == IPv6 && fr.Addr.IsUnspecified() {
		to = "! -d ::1/128 " + to // the proxy's
	}
	var rules []Rule
	switch {
	case len(s.Sources) > 0:
		for _, match := range s.mayUse(f, to) {
			rules = append(rules, newRule(tableNAT, chainServices, "%s -j %s", match, chain))
		}
	case f == IPv6 && fr.NetworkID == "":
		rules = append(rules, newRule(tableNAT, chainServices, "! -s fe80::/10 %s -j %s", to, chain))
	default:
		rules = append(rules, newRule(tableNAT, chainServices, "%s -j %s", to, chain))
	}
	for i := range rules {
		rules[i].Head = !fr.Addr.IsUnspecified()
	}
	return rules
}

// poolRules choose one of the backends: one that the client had, where it keeps its own,
// else each with the probability that its weight has among those that come after it.
func (s *served) poolRules(f Family, fr *datapath.Front, choice []backend) []Rule {
	chain := poolChain(s.ID, fr.Pool, fr.Port.Proto)
	var rules []Rule
	add := func(b *backend, matches string) {
		rules = append(rules, newRule(tableNAT, chain, "-p %s %s-j DNAT --to-destination %s",
			fr.Port.Proto, matches, f.to(b.Target.Addr(), b.Target.Port())).inGroup(chain))
	}
	left, set := 0, ""
	for i := range choice {
		left += weight(&choice[i])
		if s.Affinity > 0 {
			add(&choice[i], s.recent(f, chain, &choice[i], fmt.Sprintf("--update --seconds %d --reap", seconds(s.Affinity))))
		}
	}
	for i := range choice {
		b := &choice[i]
		if s.Affinity > 0 {
			set = s.recent(f, chain, b, "--set")
		}
		if i == len(choice)-1 {
			add(b, set)
			break
		}
		add(b, probability(weight(b), left)+set)
		left -= weight(b)
	}
	return rules
}

func weight(b *backend) int { return min(max(b.Weight, 1), model.MaxWeight) }

// probability matches with part out of whole, as iptables-save prints what is left of
// it in 31 bits.
func probability(part, whole int) string {
	const one = 1 << 31
	parts := math.Round(float64(part) / float64(whole) * one)
	return fmt.Sprintf("-m statistic --mode random --probability %.11f ", parts/one)
}

// recent matches by the list of the clients that a backend has.
func (s *served) recent(f Family, chain string, b *backend, how string) string {
	mask := "255.255.255.255"
	if f == IPv6 {
		mask = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
	}
	list := nameOf("FAIRWAY-", chain, " ", b.Target)
	return fmt.Sprintf("-m recent %s --name %s --mask %s --rsource ", how, list, mask)
}

// seconds rounds up: less than one would be none.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// passRules let what was translated to a backend through, in both directions where the
// network's own rules don't: nothing else speaks of inside an internal network, and of
// addresses outside.
func passRules(f Family, proto model.Proto, b *backend) []Rule {
	target, port := f.host(b.Target.Addr()), b.Target.Port()
	if b.network == nil {
		return []Rule{
			newRule(tableFilter, chainForward, "-d %[1]s -p %[2]s -m %[2]s --dport %[3]d -m conntrack --ctstate DNAT -j ACCEPT", target, proto, port),
			newRule(tableFilter, chainForward, "-m conntrack --ctstate RELATED,ESTABLISHED --ctreplsrc %s -j ACCEPT", b.Target.Addr().Unmap()),
		}
	}
	br := b.network.Device.Name
	if !b.network.Internal {
		return []Rule{newRule(tableFilter, chainDocker, "-d %[1]s -o %[4]s -p %[2]s -m %[2]s --dport %[3]d -m conntrack --ctstate DNAT -j ACCEPT",
			target, proto, port, br).atHead()}
	}
	if b.network.ICC {
		return nil
	}
	rules := []Rule{
		newRule(tableFilter, chainInternal, "-d %[1]s -i %[4]s -o %[4]s -p %[2]s -m %[2]s --dport %[3]d -m conntrack --ctstate DNAT -j ACCEPT",
			target, proto, port, br),
		newRule(tableFilter, chainInternal, "-s %[1]s -i %[4]s -o %[4]s -p %[2]s -m %[2]s --sport %[3]d -m conntrack --ctstate DNAT -j ACCEPT",
			target, proto, port, br),
	}
	if f == IPv6 {
		rules = append(rules, discoveryRules(chainInternal, br)...)
	}
	return rules
}

// translated leads what came by the front to the rules that hide clients.
func (s *served) translated(f Family, fr *datapath.Front) Rule {
	match := ""
	switch {
	case fr.Addr.IsUnspecified():
		match = fmt.Sprintf("-p %s -m conntrack --ctorigdstport %d", fr.Port.Proto, fr.Port.Num)
	case fr.NetworkID != "":
		match = fmt.Sprintf("-m conntrack --ctorigdst %s", fr.Addr.Unmap())
	default:
		match = fmt.Sprintf("-p %s -m conntrack --ctorigdst %s --ctorigdstport %d", fr.Port.Proto, fr.Addr.Unmap(), fr.Port.Num)
	}
	return newRule(tableNAT, chainHairpin, "%s -j %s", match, answerChain(s.ID))
}

// answerRules hide a client that is the backend itself, which would take the answer for
// its own, and all of those of a backend outside, which has no other way back to here.
func (s *served) answerRules(f Family) []Rule {
	chain := answerChain(s.ID)
	var rules []Rule
	add := func(format string, args ...any) {
		rules = append(rules, newRule(tableNAT, chain, format, args...).inGroup(chain))
	}
	for i := range s.Fronts {
		fr := &s.Fronts[i]
		if !f.has(fr.Addr) || fr.HostOnly || !s.present(fr) {
			continue
		}
		for _, b := range s.choice(f, fr.Pool) {
			target := f.host(b.Target.Addr())
			switch {
			case b.network != nil:
				add("-s %[1]s -d %[1]s -j MASQUERADE", target)
			case s.masquerade != (model.PortRange{}) && fr.Port.Proto != model.SCTP:
				add("-d %[1]s -p %[2]s -m %[2]s --dport %[3]d -j MASQUERADE --to-ports %[4]s", target, fr.Port.Proto, b.Target.Port(), s.masquerade)
			default:
				add("-d %[1]s -p %[2]s -m %[2]s --dport %[3]d -j MASQUERADE", target, fr.Port.Proto, b.Target.Port())
			}
		}
	}
	slices.SortStableFunc(rules, func(a, b Rule) int { return cmp.Compare(a.Spec, b.Spec) })
	return rules
}
