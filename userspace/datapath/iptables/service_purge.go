// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	"github.com/fairway-project/fairway/userspace/conntrack"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// fronts tells which connections go by some fronts.
type fronts struct {
	of    []datapath.Front
	local map[netip.Addr]bool
}

// lead reports whether the connection goes to one of the fronts, translated or not.
func (fs *fronts) lead(c *conntrack.Connection) bool {
	to := c.Orig.Dst
	return slices.ContainsFunc(fs.of, func(fr datapath.Front) bool {
		switch {
		case c.Orig.Proto != uint8(fr.Port.Proto) || to.Port() != fr.Port.Num:
			return false
		case fr.Addr.IsUnspecified():
			return familyOf(c).has(fr.Addr) && (to.Addr().IsLoopback() || fs.local[to.Addr()])
		}
		return to.Addr() == fr.Addr
	})
}

// purgeService ends the flows to backends that went down, so that the next packet of
// each finds another way or none, and has UDP look again where a front came or went.
// before is the zero served of a service that this process didn't know: then its flows
// are an earlier one's, and go on.
func (d *Datapath) purgeService(before, after *served) error {
	var was []datapath.Front
	if before.Service != nil {
		was = before.Fronts
	}
	dead, downBefore := after.downTargets(), before.downTargets()
	local := d.state.hostAddresses()
	came, went := fronts{append(without(after.Fronts, was), awoken(before, after)...), local}, fronts{without(was, after.Fronts), local}
	all := fronts{slices.Concat(went.of, after.Fronts), local}
	isNew := func(to netip.AddrPort) bool { return !downBefore[to] }
	if len(came.of)+len(went.of) == 0 && !slices.ContainsFunc(slices.Collect(maps.Keys(dead)), isNew) {
		return nil
	}
	return purgeWhere(func(c *conntrack.Connection) bool {
		if c.Led() && dead[c.Reply.Src] && all.lead(c) {
			return true
		}
		return c.Orig.Proto == uint8(model.UDP) && (!c.Led() && came.lead(c) || c.Led() && went.lead(c))
	})
}

// downTargets are those of the backends that are down.
func (s *served) downTargets() map[netip.AddrPort]bool {
	out := make(map[netip.AddrPort]bool)
	if s.Service == nil {
		return out
	}
	for _, p := range s.Pools {
		for _, b := range p.Backends {
			if s.down(&b) {
				out[netip.AddrPortFrom(b.Target.Addr().Unmap(), b.Target.Port())] = true
			}
		}
	}
	return out
}

// awoken are the fronts that lead to a backend now and didn't before.
func awoken(before, after *served) []datapath.Front {
	serving := func(s *served, fr *datapath.Front) bool {
		return len(s.choice(IPv4, fr.Pool))+len(s.choice(IPv6, fr.Pool)) > 0
	}
	if before.Service == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(after.Fronts), func(fr datapath.Front) bool {
		old := slices.IndexFunc(before.Fronts, func(b datapath.Front) bool { return b.Addr == fr.Addr && b.Port == fr.Port })
		return old < 0 || serving(before, &before.Fronts[old]) || !serving(after, &fr)
	})
}

// without returns the fronts that aren't among others. Where they lead doesn't count.
func without(of, others []datapath.Front) []datapath.Front {
	return slices.DeleteFunc(slices.Clone(of), func(a datapath.Front) bool {
		return slices.ContainsFunc(others, func(b datapath.Front) bool { return a.Addr == b.Addr && a.Port == b.Port })
	})
}

// purgeFronts ends all flows that were translated by one of the fronts.
func (d *Datapath) purgeFronts(of []datapath.Front) error {
	if len(of) == 0 {
		return nil
	}
	fs := fronts{of, d.state.hostAddresses()}
	return purgeWhere(func(c *conntrack.Connection) bool { return c.Led() && fs.lead(c) })
}

var entryForm = regexp.MustCompile(
	`^(?:! -s \S+ |-s \S+ )?(?:! -d \S+ |-d (\S+) )?-p (tcp|udp|sctp) -m (?:tcp|udp|sctp) --dport (\d+) (?:-m addrtype --src-type LOCAL )?-j ` + chainPool)

// fronts are those of all services. One whose backends all drain has no rule that leads to it,
// and is there for the flows that they have.
func (s *state) fronts() []datapath.Front {
	var all []datapath.Front
	for _, svc := range s.services {
		all = append(all, svc.Fronts...)
	}
	return all
}

// frontsIn reads the fronts that rules in nat lead to pools by.
func frontsIn(f Family, specs []string) []datapath.Front {
	var out []datapath.Front
	for _, spec := range specs {
		m := entryForm.FindStringSubmatch(spec)
		if m == nil {
			continue
		}
		fr := datapath.Front{Addr: netip.IPv4Unspecified()}
		if f == IPv6 {
			fr.Addr = netip.IPv6Unspecified()
		}
		if p, err := netip.ParsePrefix(m[1]); err == nil {
			fr.Addr = p.Addr()
		}
		proto, err := model.ParseProto(m[2])
		num, err2 := strconv.ParseUint(m[3], 10, 16)
		if err != nil || err2 != nil {
			continue
		}
		fr.Port = model.Port{Num: uint16(num), Proto: proto}
		out = append(out, fr)
	}
	return out
}
