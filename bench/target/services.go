// SPDX-License-Identifier: Apache-2.0

package target

import "github.com/fairway-project/fairway/bench/plan"

// visit is a new flow from outside in the program at the uplink.
func visit(path string) Side {
	return Side{"prog/family=ipv4/program=from_uplink/path=" + path + "/flow=new/table=empty", plan.EBPF}
}

// services is what is to be reached by flows to services.
func services() []Target {
	ns := plan.NsPerPacket.Unit
	return []Target{
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
	}
}
