// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/request"
)

func uplinks(f *facts) []request.Check {
	var names, bare []string
	for _, d := range f.devices {
		if !d.uplink {
			continue
		}
		names = append(names, d.name)
		if !d.ethernet {
			bare = append(bare, d.name)
		}
	}
	var checks []request.Check
	for _, name := range f.uplinks {
		if !slices.Contains(names, name) {
			checks = append(checks, warn("uplinks", name+": there is no network device of this name", nameUplink(f)))
		}
	}
	switch {
	case len(names) > 0:
		checks = append(checks, ok("uplinks", strings.Join(names, ", ")))
	case len(checks) == 0:
		checks = append(checks, warn("uplinks", "no device leads outside", nameUplink(f)))
	}
	if len(bare) > 0 && f.mode == datapath.EBPF {
		checks = append(checks, warn("uplink header", strings.Join(bare, ", ")+" have no Ethernet header, which the ebpf mode needs",
			"fairway daemon --datapath iptables"))
	}
	return checks
}

// nameUplink is the command with a device that may be meant.
func nameUplink(f *facts) string {
	if len(f.mayLead) == 0 {
		return "fairway daemon --uplink NAME"
	}
	return "fairway daemon --uplink " + strings.Join(f.mayLead, " --uplink ")
}

// mtus: packets that a network's MTU allows and an uplink's doesn't are answered
// with ICMP errors, which not every sender minds.
func mtus(f *facts) []request.Check {
	var small device
	for _, d := range f.devices {
		if d.uplink && d.mtu > 0 && (small.mtu == 0 || d.mtu < small.mtu) {
			small = d
		}
	}
	var checks []request.Check
	for _, d := range f.devices {
		if d.owner != "" && d.kind == "bridge" && small.mtu > 0 && d.mtu > small.mtu {
			checks = append(checks, warn("mtu", fmt.Sprintf("network device %s has %d, uplink %s %d", d.name, d.mtu, small.name, small.mtu),
				fmt.Sprintf("fairway network create -o com.docker.network.driver.mtu=%d NAME", small.mtu)))
		}
	}
	if len(checks) == 0 {
		return []request.Check{ok("mtu", "no network's is above an uplink's")}
	}
	return checks
}

func offloads(f *facts) []request.Check {
	var checks []request.Check
	for _, d := range f.devices {
		switch {
		case d.uplink && d.lro:
			checks = append(checks, fail("offloads", "LRO is on for "+d.name+": it merges packets that have to be forwarded", "ethtool -K "+d.name+" lro off"))
		// A veth's other end hands over what is merged already.
		case d.uplink && !d.gro && d.kind != "veth":
			checks = append(checks, warn("offloads", "GRO is off for "+d.name+": each packet is handled by itself", "ethtool -K "+d.name+" gro on"))
		}
	}
	if len(checks) == 0 {
		return []request.Check{ok("offloads", "as they should be")}
	}
	return checks
}

// foreignPrograms are left alone; what they take, Fairway's programs don't see.
func foreignPrograms(f *facts) []request.Check {
	if f.mode != datapath.EBPF {
		return nil
	}
	var checks []request.Check
	for _, d := range f.devices {
		if d.uplink && len(d.programs) > 0 {
			checks = append(checks, warn("other programs", fmt.Sprintf("on %s: %s; what they redirect or drop, Fairway doesn't see", d.name, strings.Join(d.programs, ", ")),
				"bpftool net show dev "+d.name))
		}
	}
	if len(checks) == 0 {
		return []request.Check{ok("other programs", "none on uplinks")}
	}
	return checks
}
