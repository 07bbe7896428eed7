// SPDX-License-Identifier: Apache-2.0

package plan

import "slices"

// Arm is a way to carry the traffic, or what else the subjects of a comparison are.
type Arm string

// Arms of the workloads that send traffic.
const (
	// Veth is one direct pair between the two ends: the ceiling. VethXDP is the same
	// with an XDP program at one end that passes everything.
	Veth    Arm = "veth"
	VethXDP Arm = "veth-xdp"
	// Route is plain forwarding by the kernel, without conntrack.
	Route Arm = "route"
	// Redirect is programs at tc's hooks that know everything beforehand: what any
	// datapath there costs at the least.
	Redirect Arm = "redirect"
	// Lookup is the same with one lookup in a table of connections as large as Fairway's:
	// what any datapath costs there that remembers connections.
	Lookup Arm = "redirect-lookup"
	// IPTables is Fairway's iptables mode with the nft variant of the commands,
	// and IPTablesLegacy with the legacy one.
	IPTables       Arm = "iptables"
	IPTablesLegacy Arm = "iptables-legacy"
	// Docker is a real dockerd with its userland proxy, and DockerNoProxy one
	// with --userland-proxy=false.
	Docker        Arm = "docker"
	DockerNoProxy Arm = "docker-noproxy"
	// NFTables does the same with one map lookup instead of chains of rules.
	NFTables Arm = "nftables"
	// HAProxy is a proxy in front of a service's backends, and IPVS the kernel's own
	// balancer. Both have services only.
	HAProxy Arm = "haproxy"
	IPVS    Arm = "ipvs"
	// EBPF is Fairway's ebpf mode with XDP off, and XDP the same with --xdp auto.
	EBPF Arm = "ebpf"
	XDP  Arm = "ebpf-xdp"
	// Empty is a program that returns at once, which prog compares to.
	Empty Arm = "empty"
)

// Arms returns every arm, in the order of tables.
func Arms() []Arm {
	return []Arm{EBPF, XDP, IPTables, IPTablesLegacy, NFTables, Docker, DockerNoProxy, HAProxy, IPVS, Redirect, Lookup, Route, Veth, VethXDP, Empty}
}

// Known reports whether there is such an arm in any workload.
func (a Arm) Known() bool { return slices.Contains(Arms(), a) }

// OfEBPF reports whether the arm is Fairway's eBPF mode, with XDP or without.
func (a Arm) OfEBPF() bool { return a == EBPF || a == XDP }
