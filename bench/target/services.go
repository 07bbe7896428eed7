// SPDX-License-Identifier: Apache-2.0

package target

import "github.com/fairway-project/fairway/bench/plan"

// visit is a new flow from outside in the program at the uplink.
func visit(path string) Side {
	return Side{"prog/family=ipv4/program=from_uplink/path=" + path + "/flow=new/table=empty", plan.EBPF}
}

// reach is a load through a service or to a container without, of the workload services.
func reach(walk, to string) Side { return Side{"services/" + walk + one + to, plan.EBPF} }

// memoryOfServices is what a daemon with many services may take, in bytes.
const memoryOfServices = 128 << 20

// services is what is to be reached by flows to services, and by changes of them.
func services() []Target {
	ns, crr, rr := plan.NsPerPacket.Unit, plan.ConnectionsSec.Unit, plan.TransactionsSec.Unit
	published := reach(lan, "/op=crr/to=service/services=1").Case
	crowded := reach(lan, "/op=crr/to=service/services=5000").Case
	const (
		follow = "services/op=follow/backends=1000"
		kill   = "services/op=kill/backends=10/health="
		memory = "services/op=memory/services=10000/backends=10"
	)
	return []Target{
		{
			What: "TCP rr to a service over one to its container", Unit: rr, Bound: atLeast(0.98),
			Of: reach(peers, "/op=rr/to=service"), Over: reach(peers, "/op=rr/to=container"),
		},
		{
			What: "TCP crr to a service over one to its container", Unit: crr, Bound: atLeast(0.97),
			Of: reach(peers, "/op=crr/to=service"), Over: reach(peers, "/op=crr/to=container"),
		},
		{
			What: "TCP crr LAN → published service over one container's port", Unit: crr, Bound: atLeast(0.97),
			Of: Side{published, plan.EBPF}, Over: reach(lan, "/op=crr/to=container"),
		},
		over("TCP crr LAN → published service", published, plan.EBPF, plan.HAProxy, crr, atLeast(2)),
		over("TCP crr LAN → published service", published, plan.EBPF, plan.IPTables, crr, atLeast(1.3)),
		over("TCP crr LAN → one of 5,000 services", crowded, plan.EBPF, plan.IPTables, crr, atLeast(4)),
		{
			What: "a new flow to a service, less one to a published port", Unit: ns, Bound: atMost(120),
			Of: visit("service"), Less: visit("published"),
		},
		{
			What: "a new flow to a service of 1,000 backends over one of 2", Unit: ns, Bound: atMost(1.03),
			Of: visit("service-of-1000"), Over: visit("service"),
		},
		{
			What: "a new flow to one of 10,000 services over one alone", Unit: ns, Bound: atMost(1.03),
			Of: visit("one-of-10000-services"), Over: visit("service"),
		},
		{
			What: "a backend added to 1,000, until new flows follow, p90", Unit: "added-ns", Quantile: 0.9, Bound: atMost(10e6),
			Of: Side{follow, plan.EBPF},
		},
		{
			What: "a backend taken from 1,000, until new flows follow, p90", Unit: "taken-ns", Quantile: 0.9, Bound: atMost(10e6),
			Of: Side{follow, plan.EBPF},
		},
		{
			What: "requests lost while 10 of 20 backends are replaced", Unit: "requests-lost", Quantile: 1, Bound: atMost(0),
			Of: Side{"services/op=replace/backends=20", plan.EBPF},
		},
		{
			What: "seconds of its share lost with a backend that is killed, checked each second", Unit: "share-seconds-lost", Quantile: 1, Bound: atMost(1),
			Of: Side{kill + "http", plan.EBPF},
		},
		{
			What: "requests lost with a backend that is killed, without checks", Unit: "requests-lost", Quantile: 1, Bound: atMost(50),
			Of: Side{kill + "passive", plan.EBPF},
		},
		{
			What: "daemon that has made 10,000 services of 10 backends", Unit: "made-daemon-B", Quantile: 1, Bound: atMost(memoryOfServices),
			Of: Side{memory, plan.EBPF},
		},
		{
			What: "daemon started with 10,000 services of 10 backends", Unit: "restarted-daemon-B", Quantile: 1, Bound: atMost(memoryOfServices),
			Of: Side{memory, plan.EBPF},
		},
	}
}
