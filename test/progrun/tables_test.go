// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"testing"

	"github.com/fairway-project/fairway/maps/drop"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// table makes its cases for one family.
type table struct {
	name  string
	cases func(f family) []testCase
}

func tables() []table {
	return []table{
		{"masquerade", masqueradeCases},
		{"masquerade refused", masqueradeRefusedCases},
		{"from a link-local address", linkLocalCases},
		{"published", publishedCases},
		{"published refused", publishedRefusedCases},
		{"hairpin", hairpinCases},
		{"in an internal network", closedCases},
		{"service", serviceCases},
		{"service by its own address", vipCases},
		{"service without a backend", vacantCases},
		{"service for some sources", sourceCases},
		{"service with affinity", affinityCases},
		{"service with a backend outside", outsideCases},
		{"service from outside to a backend outside", relayCases},
		{"peer", peerCases},
		{"between networks", betweenCases},
		{"direct", directCases},
		{"one subnet in two networks", overlapCases},
		{"icmp errors", icmpErrorCases},
		{"ttl", ttlCases},
		{"too big", tooBigCases},
		{"fragments", fragmentCases},
		{"headers", headerCases},
		{"guard", guardCases},
		{"to host", toHostCases},
		{"tcp", tcpCases},
		{"lifetime", lifetimeCases},
		{"to container", toContainerCases},
		{"to uplink", toUplinkCases},
		{"held by the host", heldCases},
		{"to many", manyCases},
		{"neighbour discovery", discoveryCases},
	}
}

func TestPrograms(t *testing.T) { runTables(t, rig.Options{}) }

func runTables(t *testing.T, o rig.Options) {
	h := rig.New(t, o)
	for _, table := range tables() {
		for name, f := range families() {
			for _, c := range table.cases(f) {
				t.Run(table.name+"/"+name+"/"+c.name, func(t *testing.T) { runCase(t, h, c) })
			}
		}
	}
}

// A reason without a case is one that nobody has seen happen.
func TestEveryReasonHasACase(t *testing.T) {
	seen := map[reason]bool{}
	for _, table := range tables() {
		for _, f := range families() {
			for _, c := range table.cases(f) {
				for _, s := range c.steps {
					seen[s.want.reason], seen[s.want.told] = true, true
				}
			}
		}
	}
	elsewhere := map[string]string{
		"flow_table_full": "needs a small table: TestFullTableRefusesNewFlows",
		"flow_share":      "needs a small table: TestFlowShares",
		"port_share":      "needs few ports: TestPortShares",
		"incomplete":      "needs a program to be missing: TestMissingPrograms",
		"answer_rate":     "needs many packets: TestAnswerRates",
	}
	for _, r := range drop.Reasons() {
		if !seen[r.Value] && elsewhere[r.Name] == "" {
			t.Errorf("no case drops a packet for %s", r.Name)
		}
		if seen[r.Value] && elsewhere[r.Name] != "" {
			t.Errorf("%s has a case and needs no explanation", r.Name)
		}
	}
}
