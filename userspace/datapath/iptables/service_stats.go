// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// tally is what the rules of services have counted since this process began. A rule that is
// written again begins anew, so that what each has counted more than the last time is summed.
type tally struct {
	// seen are the counts of rules that were there the last time, by family.
	seen [len(families)]map[key]uint64
	sums map[string]*serviceSum
}

// serviceSum is of one service. What is counted by backend isn't lost when that goes.
type serviceSum struct {
	flows              map[netip.AddrPort]uint64
	refused, strangers uint64
}

// ServiceStats reads the counters of the rules that choose backends and of those that refuse
// clients. Connections by the proxy for IPv6 sockets of the host pass neither.
func (d *Datapath) ServiceStats(ctx context.Context, ids ...string) (all []datapath.ServiceStats, err error) {
	err = d.inside(ctx, func(ctx context.Context) error {
		if err := d.countServices(ctx); err != nil {
			return err
		}
		if len(ids) == 0 {
			ids = slices.Collect(maps.Keys(d.state.services))
		}
		for _, id := range ids {
			if of, known := d.state.served(id); known {
				all = append(all, d.counted.stats(&of))
			}
		}
		return nil
	})
	return all, err
}

// countServices reads the rules for their counters.
func (d *Datapath) countServices(ctx context.Context) error {
	if len(d.state.services) == 0 {
		return nil
	}
	for _, f := range families {
		if !d.kernel[f].ready {
			continue
		}
		cur, err := d.bins.readTables(ctx, f)
		if err != nil {
			return err
		}
		d.counted.add(f, cur, &d.state)
	}
	return nil
}

// add adds what the rules of a family have counted since the last time.
func (t *tally) add(f Family, cur saved, s *state) {
	if len(s.services) == 0 && len(t.sums) == 0 {
		return
	}
	maps.DeleteFunc(t.sums, func(id string, _ *serviceSum) bool { _, there := s.services[id]; return !there })
	now := make(map[key]uint64)
	more := func(table, chain string, r *savedRule) uint64 {
		k := key{table, chain, r.spec}
		n, before := r.counter.Packets, t.seen[f][k]
		now[k] = n
		if n < before {
			return n
		}
		return n - before
	}
	refusals := make(map[string][]*savedRule)
	rules, _ := cur.chain(tableFilter, chainServices)
	for i := range rules {
		refusals[rules[i].spec] = append(refusals[rules[i].spec], &rules[i])
	}
	for id := range s.services {
		of, _ := s.served(id)
		sum := t.of(id)
		for _, chain := range of.poolChains(f) {
			rules, _ := cur.chain(tableNAT, chain)
			for i := range rules {
				if to, is := ledTo(rules[i].spec); is {
					sum.flows[to] += more(tableNAT, chain, &rules[i])
				}
			}
		}
		for i := range of.Fronts {
			for _, r := range of.refusals(f, &of.Fronts[i]) {
				for _, saved := range refusals[r.rule.Spec] {
					*r.count(sum) += more(tableFilter, chainServices, saved)
				}
				delete(refusals, r.rule.Spec)
			}
		}
	}
	t.seen[f] = now
}

func (t *tally) of(id string) *serviceSum {
	if t.sums == nil {
		t.sums = make(map[string]*serviceSum)
	}
	if t.sums[id] == nil {
		t.sums[id] = &serviceSum{flows: make(map[netip.AddrPort]uint64)}
	}
	return t.sums[id]
}

// stats is what was counted of a service, with the backends that it has.
func (t *tally) stats(of *served) datapath.ServiceStats {
	sum := t.of(of.ID)
	out := datapath.ServiceStats{ServiceID: of.ID, Refused: sum.refused, Strangers: sum.strangers}
	for _, n := range sum.flows {
		out.Flows += n
	}
	told := make(map[netip.AddrPort]bool)
	for _, p := range of.Pools {
		for _, b := range p.Backends {
			if !told[b.Target] {
				told[b.Target] = true
				out.Backends = append(out.Backends, datapath.BackendStats{Target: b.Target, Flows: sum.flows[b.Target]})
			}
		}
	}
	return out
}

// poolChains are the chains that choose backends in a family, each once.
func (s *served) poolChains(f Family) (all []string) {
	for i := range s.Fronts {
		fr := &s.Fronts[i]
		if chain := poolChain(s.ID, fr.Pool, fr.Port.Proto); f.has(fr.Addr) && !slices.Contains(all, chain) {
			all = append(all, chain)
		}
	}
	return all
}

// refusing is a rule that refuses clients, with where it is counted.
type refusing struct {
	rule  Rule
	count func(*serviceSum) *uint64
}

// refusals are the rules that may refuse clients of a front, because nobody serves or for where
// they come from.
func (s *served) refusals(f Family, fr *datapath.Front) []refusing {
	if !f.has(fr.Addr) {
		return nil
	}
	var all []refusing
	for _, r := range s.nobodyServes(f, fr) {
		all = append(all, refusing{r, func(sum *serviceSum) *uint64 { return &sum.refused }})
	}
	return append(all, refusing{s.keepsOut(f, fr), func(sum *serviceSum) *uint64 { return &sum.strangers }})
}

// ledTo reads where a rule leads to.
func ledTo(spec string) (netip.AddrPort, bool) {
	_, to, is := strings.Cut(spec, "-j DNAT --to-destination ")
	if !is {
		return netip.AddrPort{}, false
	}
	target, err := netip.ParseAddrPort(to)
	return target, err == nil
}
