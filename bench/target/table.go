// SPDX-License-Identifier: Apache-2.0

package target

import "github.com/fairway-project/fairway/bench/plan"

// Names of cases, in parts.
const (
	lan   = "walk=lan-published/family=ipv4"
	peers = "walk=container-container/family=ipv4"
	local = "walk=loopback-published/family=ipv4"
	one   = "/flows=1"
	many  = "/flows=65536"
)

// Table is what the datapath is to reach on the development machine.
func Table() []Target {
	ns, crr, rr, bulk := plan.NsPerPacket.Unit, plan.ConnectionsSec.Unit, plan.TransactionsSec.Unit, plan.BytesPerSec.Unit
	return append([]Target{
		over("packets LAN → published, 1 flow", "pps/"+lan+one, plan.EBPF, plan.IPTables, ns, atMost(0.60)),
		over("packets LAN → published, 64k flows", "pps/"+lan+many, plan.EBPF, plan.IPTables, ns, atMost(0.65)),
		over("packets LAN → published, 1 flow, XDP", "pps/"+lan+one, plan.XDP, plan.IPTables, ns, atMost(0.35)),
		over("packets LAN → published, 64k flows, XDP", "pps/"+lan+many, plan.XDP, plan.IPTables, ns, atMost(0.42)),
		over("TCP stream with XDP over without", "stream/"+lan+one, plan.XDP, plan.EBPF, bulk, atLeast(0.98)).below(plan.VethXDP, plan.Veth),
		over("packets container → container", "pps/"+peers+one, plan.EBPF, plan.IPTables, ns, atMost(0.50)),
		over("TCP crr LAN → published", "crr/"+lan+one, plan.EBPF, plan.IPTables, crr, atLeast(1.30)),
		over("TCP crr LAN → published", "crr/"+lan+one, plan.EBPF, plan.Veth, crr, atLeast(0.95)).below(plan.Redirect, plan.Veth),
		over("TCP rr LAN → published", "rr/"+lan+one, plan.EBPF, plan.Veth, rr, atLeast(0.95)).below(plan.Redirect, plan.Veth),
		over("TCP rr container → container", "rr/"+peers+one, plan.EBPF, plan.Veth, rr, atLeast(0.97)).below(plan.Redirect, plan.Veth),
		over("TCP crr container → container", "crr/"+peers+one, plan.EBPF, plan.Veth, crr, atLeast(0.97)).below(plan.Redirect, plan.Veth),
		{
			What: "TCP crr with 10,000 ports over one port", Unit: crr, Bound: atLeast(0.97),
			Of:   Side{"ports/walk=lan-published/family=ipv4/flows=1/op=crr/ports=10000/at=last", plan.EBPF},
			Over: Side{"ports/walk=lan-published/family=ipv4/flows=1/op=crr/ports=1/at=last", plan.EBPF},
		},
		over("TCP stream LAN → published", "stream/"+lan+one, plan.EBPF, plan.IPTables, bulk, atLeast(1.15)).below(plan.Redirect, plan.IPTables),
		over("TCP stream LAN → published", "stream/"+lan+one, plan.EBPF, plan.Veth, bulk, atLeast(0.97)).below(plan.Redirect, plan.Veth),
		over("127.0.0.1 → published, rr", "rr/"+local+one, plan.EBPF, plan.Docker, rr, atLeast(2)),
		{
			What: "publish one port, p99, 10,000 present", Unit: plan.NsPerOp.Unit, Quantile: 0.99, Bound: atMost(2e6),
			Of: Side{"ports/op=publish/count=1/present=10000", plan.EBPF},
		},
		{
			What: "publish one port, p99, 10,000 present over none", Unit: plan.NsPerOp.Unit, Quantile: 0.99, Bound: atMost(1.2),
			Of: Side{"ports/op=publish/count=1/present=10000", plan.EBPF}, Over: Side{"ports/op=publish/count=1/present=0", plan.EBPF},
		},
		{
			What: "one container with 206 ports, datapath step", Unit: plan.NsPerOp.Unit, Bound: atMost(50e6),
			Of: Side{"ports/op=publish/count=206/present=0", plan.EBPF},
		},
		over("memory of a tracked connection", "flows/"+lan+"/flows=131072/measure=memory", plan.EBPF, plan.IPTables, plan.BytesPerFlow.Unit, atMost(1)),
		{
			What: "established clients lost during a SYN flood", Unit: "established-lost", Quantile: 1, Bound: atMost(0),
			Of: Side{"flood/" + lan, plan.EBPF},
		},
		{
			What: "new clients served during a SYN flood", Unit: "new-served", Bound: atLeast(0.90),
			Of: Side{"flood/" + lan, plan.EBPF},
		},
		{
			What: "established clients lost during a flood of answered UDP", Unit: "established-lost", Quantile: 1, Bound: atMost(0),
			Of: Side{"flood/" + lan + "/packets=udp", plan.EBPF},
		},
		{
			What: "new clients served during a flood of answered UDP", Unit: "new-served", Bound: atLeast(0.90),
			Of: Side{"flood/" + lan + "/packets=udp", plan.EBPF},
		},
	}, services()...)
}

func over(what, name string, arm, other plan.Arm, unit string, b Bound) Target {
	return Target{
		What: what + ", " + string(arm) + " over " + string(other), Unit: unit, Bound: b,
		Of: Side{name, arm}, Over: Side{name, other},
	}
}

// below says what the figure can't pass, in the same case.
func (t Target) below(ceiling, base plan.Arm) Target {
	t.Ceiling, t.CeilingOver = Side{t.Of.Case, ceiling}, Side{t.Of.Case, base}
	return t
}
