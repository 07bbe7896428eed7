// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// restore carries a script out on tables, as iptables-restore --noflush does.
// It returns an error where a rule to delete isn't there.
func (s saved) restore(text string) error {
	var table *savedTable
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		verb, rest, _ := strings.Cut(line, " ")
		chain, spec, _ := strings.Cut(rest, " ")
		switch {
		case line[0] == '*':
			if s[line[1:]] == nil {
				s[line[1:]] = &savedTable{policies: make(map[string]string), chains: make(map[string][]savedRule)}
			}
			table = s[line[1:]]
		case line[0] == ':':
			if name := verb[1:]; builtin(name) {
				table.policies[name] = chain
			} else {
				table.chains[name] = nil
			}
		case verb == "-A":
			table.chains[chain] = append(table.chains[chain], savedRule{spec: spec})
		case verb == "-I":
			table.chains[chain] = slices.Insert(table.chains[chain], 0, savedRule{spec: spec})
		case verb == "-F":
			table.chains[chain] = nil
		case verb == "-X":
			delete(table.chains, chain)
		case verb == "-D":
			i := slices.IndexFunc(table.chains[chain], func(r savedRule) bool { return r.spec == spec })
			if i < 0 {
				return fmt.Errorf("no rule for %q", line)
			}
			table.chains[chain] = slices.Delete(table.chains[chain], i, i+1)
		}
	}
	return nil
}

// foreign are rules of others, which have to be there at the end as at the beginning.
func foreign() saved {
	cur := make(saved)
	_ = cur.restore("*filter\n-A FORWARD -i wg0 -j ACCEPT\n*nat\n-A POSTROUTING -s 10.77.0.0/16 -j MASQUERADE\n" +
		"-A POSTROUTING -s 172.30.0.2/32 -d 172.30.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE\n" +
		"*raw\n-A PREROUTING -d 172.30.0.2/32 ! -i br-other -j DROP\n")
	return cur
}

// drawState makes up networks, endpoints and ports.
func drawState(t *rapid.T) state {
	s := newState(model.PortRange{}, "")
	for num := range rapid.IntRange(0, 3).Draw(t, "networks") {
		v := variant{
			mode:     rapid.SampledFrom([]model.GatewayMode{model.GatewayNAT, model.GatewayNATUnprotected, model.GatewayRouted}).Draw(t, "mode"),
			internal: rapid.Bool().Draw(t, "internal"), icc: rapid.Bool().Draw(t, "icc"),
			masquerade: rapid.Bool().Draw(t, "masquerade"), trusted: rapid.Bool().Draw(t, "trusted"),
			bindLo: rapid.Bool().Draw(t, "loopback"),
		}
		want := v.desired()
		n, e := want.Networks[0], want.Endpoints[0]
		n.ID, n.Device.Name = fmt.Sprintf("net%d", num), fmt.Sprintf("br%d", num)
		n.IPv4 = &datapath.Subnet{Prefix: netip4(num), Mode: n.IPv4.Mode}
		s.networks[n.ID] = n
		for i := range rapid.IntRange(0, 3).Draw(t, "endpoints") {
			e.ID, e.NetworkID = fmt.Sprintf("ep%d-%d", num, i), n.ID
			e.IPv4 = nth(netip4(num), 2+i)
			s.endpoints[e.ID] = e
			ports := v.ports(e)
			for p := range ports {
				ports[p].HostPort += uint16(100*num + 10*i)
			}
			s.ports[e.ID] = ports[:rapid.IntRange(0, len(ports)).Draw(t, "ports")]
		}
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "services") {
		svc := drawService(t, i, &s)
		s.services[svc.ID] = svc
	}
	return s
}

// drawService makes up one in front of endpoints of the state and of one that is outside.
func drawService(t *rapid.T, num int, s *state) datapath.Service {
	svc := datapath.Service{ID: fmt.Sprintf("svc%d", num), Pools: make([]datapath.Pool, rapid.IntRange(1, 2).Draw(t, "pools"))}
	if rapid.Bool().Draw(t, "affinity") {
		svc.Affinity = dayOfAffinity
	}
	if rapid.Bool().Draw(t, "sources") {
		svc.Sources = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24")}
	}
	states := []model.BackendState{model.BackendActive, model.BackendActive, model.BackendDraining, model.BackendDown}
	for i := range svc.Pools {
		add := func(endpoint string, addr netip.Addr) {
			if rapid.Bool().Draw(t, "backend") {
				svc.Pools[i].Backends = append(svc.Pools[i].Backends, datapath.Backend{
					EndpointID: endpoint, Target: netip.AddrPortFrom(addr, uint16(80+i)),
					Weight: rapid.IntRange(1, 3).Draw(t, "weight"), State: rapid.SampledFrom(states).Draw(t, "state"),
				})
			}
		}
		for _, eid := range slices.Sorted(maps.Keys(s.endpoints)) {
			add(eid, s.endpoints[eid].IPv4)
		}
		add("", netip.MustParseAddr("198.51.100.10"))
		port := model.Port{Num: uint16(8000 + 10*num + i), Proto: model.TCP}
		svc.Fronts = append(svc.Fronts, datapath.Front{Addr: netip.IPv4Unspecified(), Port: port, Pool: i},
			datapath.Front{Addr: netip.MustParseAddr("127.0.0.1"), Port: port, Pool: i})
		for _, nid := range slices.Sorted(maps.Keys(s.networks)) {
			port.Proto = rapid.SampledFrom([]model.Proto{model.TCP, model.UDP, model.SCTP}).Draw(t, "proto")
			svc.Fronts = append(svc.Fronts, datapath.Front{NetworkID: nid, Addr: nth(s.networks[nid].IPv4.Prefix, 200+num), Port: port, Pool: i})
		}
	}
	return svc
}

// TestPlanIsExact plans from one made-up state to another, with and without the
// leftovers of the first, and checks that the tables come out as the second
// says, that nothing is left to do, and that removal leaves what was there.
func TestPlanIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cur, noProxy := foreign(), newProxy(nil, nil)
		_ = cur.restore(plan(cur, (&state{}).ruleset(IPv4, noProxy, nil), nil).String())
		first, second := drawState(t), drawState(t)
		for _, s := range []state{first, second} {
			want := s.ruleset(IPv4, noProxy, nil)
			if rapid.Bool().Draw(t, "adopt first") {
				mustHold(t, cur.restore(plan(cur, want, leftovers(IPv4, cur, readJournal(cur))).String()))
			}
			mustHold(t, cur.restore(plan(cur, want, nil).String()))
			if again := plan(cur, want, nil); !again.empty() {
				t.Fatalf("still to do:\n%s", again)
			}
		}
		mustHold(t, cur.restore(removal(IPv4, cur, readJournal(cur)).String()))
		if diff := cmp.Diff(rulesOf(foreign()), rulesOf(cur)); diff != "" {
			t.Fatalf("after removal (-before +after):\n%s", diff)
		}
	})
}

// TestDeltaIsExact goes from state to state by differences only, as EnsurePorts
// and its like do, and checks against the plan.
func TestDeltaIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cur, noProxy := foreign(), newProxy(nil, nil)
		empty := newState(model.PortRange{}, "")
		_ = cur.restore(plan(cur, empty.ruleset(IPv4, noProxy, nil), nil).String())
		var rules []Rule
		for range 3 {
			next := drawState(t)
			now := next.all(noProxy)
			d := diff(rules, now)
			mustHold(t, cur.restore(d.script("").String()))
			rules = now
			if todo := plan(cur, next.ruleset(IPv4, noProxy, nil), nil); !todo.empty() {
				t.Fatalf("still to do:\n%s", todo)
			}
		}
	})
}

// all rules of a state, in the order the calls for it would make them.
func (s *state) all(p *proxy) []Rule {
	var rules []Rule
	for _, n := range slices.SortedFunc(slices.Values(s.desired().Networks), byCreation) {
		rules = append(rules, s.rulesOfNetwork(IPv4, n.ID)...)
	}
	for _, e := range slices.SortedFunc(slices.Values(s.desired().Endpoints), byID) {
		rules = append(rules, s.rulesOfEndpoint(IPv4, e.ID)...)
		rules = append(rules, s.rulesOfPorts(IPv4, e.ID, p)...)
	}
	return append(rules, s.rulesOfServices(IPv4, p, slices.Sorted(maps.Keys(s.services))...)...)
}

// rulesOf returns the chains that hold rules.
func rulesOf(s saved) map[string][]string {
	out := make(map[string][]string)
	for table, t := range s {
		for chain, rules := range t.chains {
			if len(rules) > 0 || !builtin(chain) {
				out[table+" "+chain] = specs(rules)
			}
		}
	}
	return out
}

func mustHold(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func netip4(num int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("10.9.%d.0/24", num)) }
