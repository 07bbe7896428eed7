// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
	rules "github.com/fairway-project/fairway/userspace/docker/firewall"
	"github.com/fairway-project/fairway/userspace/request"
)

// forwarding: the eBPF mode needs it on the networks' bridges only, where the
// daemon turns it on.
func forwarding(f *facts) []request.Check {
	value := f.sysctls["net/ipv4/ip_forward"]
	fact := "net.ipv4.ip_forward is " + value
	switch {
	case f.mode == datapath.EBPF && f.firstPacket && value != "1":
		return []request.Check{fail("ip_forward", fact+": nothing comes to the rules that are to judge it (netfilter: first-packet)", "sysctl -w net.ipv4.ip_forward=1")}
	case f.mode == datapath.EBPF && f.firstPacket:
		return []request.Check{ok("ip_forward", fact+"; the host routes what its FORWARD rules let it")}
	case f.mode == datapath.EBPF:
		return []request.Check{ok("ip_forward", fact+"; forwarding is set on the networks' bridges alone")}
	case value == "1":
		return []request.Check{ok("ip_forward", fact)}
	case f.daemon.err != nil:
		return []request.Check{ok("ip_forward", fact+"; the daemon sets it when it starts")}
	}
	return []request.Check{fail("ip_forward", fact, "sysctl -w net.ipv4.ip_forward=1")}
}

// reversePath: strict filtering drops answers that come in by another uplink
// than the way back would take. The larger of all and the device's own holds.
func reversePath(f *facts) []request.Check {
	all, _ := strconv.Atoi(f.sysctls["net/ipv4/conf/all/rp_filter"])
	var strict []string
	for _, u := range f.host.Uplinks {
		own, _ := strconv.Atoi(f.sysctls["net/ipv4/conf/"+u.Name+"/rp_filter"])
		if max(all, own) == 1 {
			strict = append(strict, u.Name)
		}
	}
	if len(strict) > 0 && len(f.host.Uplinks) > 1 {
		return []request.Check{warn("rp_filter", "strict on "+strings.Join(strict, ", ")+" with several uplinks: asymmetric routes lose packets",
			"sysctl -w net.ipv4.conf.all.rp_filter=2")}
	}
	return []request.Check{ok("rp_filter", "not strict where there is more than one uplink")}
}

func bridgeFilter(f *facts) []request.Check {
	value, loaded := f.sysctls["net/bridge/bridge-nf-call-iptables"]
	fact := "net.bridge.bridge-nf-call-iptables is " + value
	if !loaded {
		fact = "br_netfilter is not loaded"
	}
	switch {
	case f.mode == datapath.EBPF && value == "1":
		return []request.Check{ok("br_netfilter", fact+": broadcast and multicast inside a network pass the host's rules")}
	case f.mode == datapath.EBPF || value == "1":
		return []request.Check{ok("br_netfilter", fact)}
	case f.daemon.err != nil:
		return []request.Check{ok("br_netfilter", fact+"; the daemon sets it when it starts")}
	}
	return []request.Check{fail("br_netfilter", fact+": icc=false isn't enforced",
		"modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1")}
}

// firewall tells what an administrator may believe to filter containers' traffic.
func firewall(f *facts) []request.Check {
	found := f.rules.names()
	if len(found) == 0 {
		return []request.Check{ok("firewall", "no rules for forwarded packets but Docker's and Fairway's")}
	}
	what := strings.Join(found, ", ")
	switch {
	case f.mode == datapath.EBPF && f.firstPacket:
		return append(userRules(f), judging(f, what))
	case f.mode == datapath.EBPF && len(found) == len(f.rules.policyDrop):
		// As Docker leaves it, and "docker setup" with it.
		return []request.Check{ok("firewall", what+": "+rules.DropPolicy)}
	case f.mode == datapath.EBPF:
		return append(userRules(f), warn("firewall", what+": containers' traffic doesn't pass it, only what takes the slow path does",
			"where these rules have to hold, "+rules.Judging))
	}
	if f.rules.ufw || f.rules.firewalld {
		return []request.Check{warn("firewall", what+": published ports bypass ufw, and a reload may remove the rules of networks",
			"filter in DOCKER-USER; restart the daemon after a reload")}
	}
	return []request.Check{ok("firewall", what+": holds for containers' traffic too")}
}

// judging is for first-packet mode. A policy DROP needs rules that accept, and what no zone or policy of firewalld's accepts, it
// refuses without a policy of FORWARD.
func judging(f *facts, what string) request.Check {
	refuses := slices.ContainsFunc(f.rules.policyDrop, func(tool string) bool { return !slices.Contains(f.rules.accepting, tool) })
	if refuses || f.rules.firewalld {
		return warn("firewall", what+": connections of containers with the outside need rules that accept them (netfilter: first-packet)",
			`see "Your own firewall rules" in docs/docker.md`)
	}
	return ok("firewall", what+": judge connections of containers with the outside (netfilter: first-packet)")
}

// userRules shows the rules that an operator made for containers, and whether they
// apply.
func userRules(f *facts) (checks []request.Check) {
	const name = "docker user rules"
	for _, r := range f.rules.dockerUser {
		tool, _, _ := strings.Cut(r, " ")
		switch {
		case !f.firstPacket:
			checks = append(checks, warn(name, r+": doesn't apply to containers", rules.Judging))
		case !slices.Contains(f.rules.userJumps, tool):
			checks = append(checks, warn(name, r+": FORWARD doesn't lead there", tool+" -I FORWARD -j DOCKER-USER"))
		default:
			checks = append(checks, ok(name, r+": applies to connections of containers with the outside"))
		}
	}
	return checks
}

func (r *ruleset) names() []string {
	var found []string
	for _, tool := range r.policyDrop {
		found = append(found, tool+" policy DROP in FORWARD")
	}
	if r.ufw {
		found = append(found, "ufw")
	}
	if r.firewalld {
		found = append(found, "firewalld")
	}
	if r.forward > 0 {
		found = append(found, fmt.Sprintf("%d rules in FORWARD", r.forward))
	}
	if n := len(r.dockerUser); n > 0 {
		found = append(found, fmt.Sprintf("%d rules in DOCKER-USER", n))
	}
	for _, t := range r.nftables {
		found = append(found, "nft table "+t)
	}
	return found
}

// fewPorts is so little that published ports without a number and connections of
// the host get into each other's way.
const fewPorts = 1000

func localPorts(f *facts) []request.Check {
	const name = "local ports"
	text := f.sysctls["net/ipv4/ip_local_port_range"]
	var low, high int
	if _, err := fmt.Sscan(text, &low, &high); err != nil {
		return []request.Check{warn(name, fmt.Sprintf("net.ipv4.ip_local_port_range is %q", text), `sysctl -w net.ipv4.ip_local_port_range="32768 60999"`)}
	}
	free := high - low + 1 - reservedWithin(f.sysctls["net/ipv4/ip_local_reserved_ports"], low, high)
	fact := fmt.Sprintf("%d-%d, %d of them not reserved", low, high, free)
	if free < fewPorts {
		return []request.Check{warn(name, fact, `sysctl -w net.ipv4.ip_local_port_range="32768 60999"`)}
	}
	return []request.Check{ok(name, fact)}
}

// reservedWithin counts the ports of a list like "8080,9000-9010" in low-high.
func reservedWithin(list string, low, high int) int {
	var n int
	for _, part := range strings.Split(list, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		from, err := strconv.Atoi(first)
		if err != nil {
			continue
		}
		to := from
		if isRange {
			if to, err = strconv.Atoi(last); err != nil {
				continue
			}
		}
		n += max(0, min(to, high)-max(from, low)+1)
	}
	return n
}

func conntrack(f *facts) []request.Check {
	if f.mode != datapath.IPTables && !f.firstPacket {
		return nil
	}
	count, err1 := strconv.ParseUint(f.sysctls["net/netfilter/nf_conntrack_count"], 10, 64)
	limit, err2 := strconv.ParseUint(f.sysctls["net/netfilter/nf_conntrack_max"], 10, 64)
	if err1 != nil || err2 != nil || limit == 0 {
		return []request.Check{ok("nf_conntrack", "tracks nothing yet")}
	}
	fact := fmt.Sprintf("%d of %d connections", count, limit)
	fix := fmt.Sprintf("sysctl -w net.netfilter.nf_conntrack_max=%d", 2*limit)
	switch {
	case count*100 >= limit*95:
		return []request.Check{fail("nf_conntrack", fact+": new ones are being dropped", fix)}
	case count*100 >= limit*80:
		return []request.Check{warn("nf_conntrack", fact, fix)}
	}
	return []request.Check{ok("nf_conntrack", fact)}
}
