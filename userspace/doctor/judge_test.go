// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

var errSilent = errors.New("no daemon")

// healthy is a host on which all is well, with a daemon that runs.
func healthy(mode datapath.Mode) *facts {
	f := &facts{
		mode: mode, release: "6.12.0", bpffs: "/sys/fs/bpf/fairway", bpffsMounted: true, cgroup2: "/sys/fs/cgroup",
		flowEntries: 1 << 18, memTotal: 8 << 30, memAvailable: 4 << 30, nrOpen: 1 << 20,
		sysctls: map[string]string{
			"net/ipv4/ip_forward": "1", "net/ipv4/conf/all/rp_filter": "0", "net/bridge/bridge-nf-call-iptables": "1",
			"net/ipv4/ip_local_port_range": "32768\t60999", "net/ipv4/ip_local_reserved_ports": "",
			"net/netfilter/nf_conntrack_count": "10", "net/netfilter/nf_conntrack_max": "65536",
		},
		devices: []device{
			{name: "eth0", mtu: 1500, kind: "device", ethernet: true, uplink: true, gro: true},
			{name: "br-1", mtu: 1500, kind: "bridge", owner: "n1", ethernet: true},
		},
		host:   model.Host{Uplinks: []model.Uplink{{Name: "eth0", Index: 2}}},
		socket: socketFacts{path: "/run/fairway/fairway.sock", exists: true, mode: 0o660, directory: 0o750},
		daemon: daemonFacts{known: map[string]bool{"n1": true}},
	}
	f.daemon.status.Datapath.Mode = mode
	return f
}

func TestHealthyHostHasNothingToMend(t *testing.T) {
	for _, mode := range []datapath.Mode{datapath.EBPF, datapath.IPTables} {
		for _, c := range judge(healthy(mode)) {
			if c.Result != request.OK || c.Fix != "" {
				t.Errorf("%s: %+v", mode, c)
			}
			if c.Name == "" || c.Fact == "" || strings.Contains(c.Fact, "\n") {
				t.Errorf("%s: want a name and a fact of one line: %+v", mode, c)
			}
		}
	}
}

func TestJudgements(t *testing.T) {
	const both = datapath.Mode("")
	port := portFact{sandbox: "web", problem: "not reserved", port: model.PublishedPort{
		Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: netip.IPv4Unspecified(), HostPort: 8080}}
	userRule := []string{"iptables -A DOCKER-USER -s 192.0.2.7/32 -j DROP"}
	for _, tc := range []struct {
		name   string
		mode   datapath.Mode
		change func(*facts)
		check  string
		want   request.Result
		fact   string
	}{
		{"no root", both, func(f *facts) { f.missingCaps = []string{"CAP_BPF"} }, "privileges", request.Fail, "CAP_BPF"},
		{"old kernel", datapath.EBPF, func(f *facts) {
			f.features = []loader.Result{{Feature: loader.Feature{Name: "x", Since: "5.10", Required: true}, Err: &loader.UnsupportedError{Name: "x", Since: "5.10"}}}
		}, "feature x", request.Fail, "requires >= 5.10"},
		{"a feature with a substitute", datapath.EBPF, func(f *facts) {
			f.features = []loader.Result{{Feature: loader.Feature{Name: "tcx", Since: "6.6", Without: "clsact filters"}, Err: ebpf.ErrNotSupported}}
		}, "feature tcx", request.OK, "clsact filters"},
		{"probe without privileges", datapath.EBPF, func(f *facts) {
			f.missingCaps = []string{"CAP_BPF"}
			f.features = []loader.Result{{Feature: loader.Feature{Name: "x", Required: true}, Err: errors.New("operation not permitted")}}
		}, "feature x", request.Warn, "not known"},
		{"real-time kernel", datapath.EBPF, func(f *facts) { f.realtime = true }, "kernel", request.Warn, "PREEMPT_RT"},
		{"real-time kernel beside iptables", datapath.IPTables, func(f *facts) { f.realtime = true }, "kernel", request.OK, "6.12.0"},
		{"ip netns exec", both, func(f *facts) { f.privateMnt = true }, "mount namespace", request.Warn, "PID 1"},
		{"no bpffs", datapath.EBPF, func(f *facts) { f.bpffsMounted = false }, "bpffs", request.Warn, "/sys/fs/bpf/fairway"},
		{"no cgroup2", both, func(f *facts) { f.cgroup2 = "" }, "cgroup2", request.Warn, "not mounted"},
		{"little memory", datapath.EBPF, func(f *facts) { f.daemon.err, f.memAvailable = errSilent, 50<<20 }, "memory", request.Warn, "50 MiB"},
		{"few files", both, func(f *facts) { f.nrOpen = 1024 }, "open files", request.Warn, "1024"},
		{"no forwarding", datapath.IPTables, func(f *facts) { f.sysctls["net/ipv4/ip_forward"] = "0" }, "ip_forward", request.Fail, "is 0"},
		{"no forwarding before the daemon", datapath.IPTables, func(f *facts) {
			f.sysctls["net/ipv4/ip_forward"], f.daemon.err = "0", errSilent
		}, "ip_forward", request.OK, "the daemon sets it"},
		{"no forwarding in ebpf mode", datapath.EBPF, func(f *facts) { f.sysctls["net/ipv4/ip_forward"] = "0" }, "ip_forward", request.OK, "bridges alone"},
		{"strict with two uplinks", both, func(f *facts) {
			f.host.Uplinks = append(f.host.Uplinks, model.Uplink{Name: "eth1"})
			f.sysctls["net/ipv4/conf/eth1/rp_filter"] = "1"
		}, "rp_filter", request.Warn, "eth1"},
		{"strict with one uplink", both, func(f *facts) { f.sysctls["net/ipv4/conf/all/rp_filter"] = "1" }, "rp_filter", request.OK, ""},
		{"loose wins over strict", both, func(f *facts) {
			f.host.Uplinks = append(f.host.Uplinks, model.Uplink{Name: "eth1"})
			f.sysctls["net/ipv4/conf/all/rp_filter"], f.sysctls["net/ipv4/conf/eth1/rp_filter"] = "2", "1"
		}, "rp_filter", request.OK, ""},
		{"br_netfilter off", datapath.IPTables, func(f *facts) { delete(f.sysctls, "net/bridge/bridge-nf-call-iptables") }, "br_netfilter", request.Fail, "not loaded"},
		{"ufw", datapath.EBPF, func(f *facts) { f.rules.ufw = true }, "firewall", request.Warn, "ufw"},
		{"ufw beside iptables", datapath.IPTables, func(f *facts) { f.rules.ufw = true }, "firewall", request.Warn, "ufw"},
		{"DOCKER-USER", datapath.EBPF, func(f *facts) { f.rules.dockerUser = userRule }, "firewall", request.Warn, "1 rules in DOCKER-USER"},
		{"DOCKER-USER rule", datapath.EBPF, func(f *facts) { f.rules.dockerUser = userRule }, "docker user rules", request.Warn, "-s 192.0.2.7/32 -j DROP: doesn't apply"},
		{"DOCKER-USER beside iptables", datapath.IPTables, func(f *facts) { f.rules.dockerUser = userRule }, "firewall", request.OK, "holds"},
		{"DOCKER-USER judges", datapath.EBPF, func(f *facts) {
			f.firstPacket, f.rules.dockerUser, f.rules.userJumps = true, userRule, []string{"iptables"}
		}, "docker user rules", request.OK, "applies to connections"},
		{"DOCKER-USER that nothing leads to", datapath.EBPF, func(f *facts) {
			f.firstPacket, f.rules.dockerUser, f.rules.userJumps = true, userRule, []string{"ip6tables"}
		}, "docker user rules", request.Warn, "FORWARD doesn't lead there"},
		{"ufw judges", datapath.EBPF, func(f *facts) { f.firstPacket, f.rules.ufw = true, true }, "firewall", request.OK, "ufw: judge connections"},
		{"firewalld judges", datapath.EBPF, func(f *facts) { f.firstPacket, f.rules.firewalld = true, true }, "firewall", request.Warn, "firewalld: connections of containers with the outside need rules"},
		{"policy judges", datapath.EBPF, func(f *facts) { f.firstPacket, f.rules.policyDrop = true, []string{"iptables"} }, "firewall", request.Warn, "need rules that accept them"},
		{"judged without forwarding", datapath.EBPF, func(f *facts) {
			f.firstPacket, f.sysctls["net/ipv4/ip_forward"] = true, "0"
		}, "ip_forward", request.Fail, "nothing comes to the rules"},
		{"judged with forwarding", datapath.EBPF, func(f *facts) { f.firstPacket = true }, "ip_forward", request.OK, "FORWARD"},
		{"conntrack filling beside first-packet", datapath.EBPF, func(f *facts) {
			f.firstPacket, f.sysctls["net/netfilter/nf_conntrack_count"] = true, "55000"
		}, "nf_conntrack", request.Warn, "55000 of 65536"},
		// As after the migration of docs/docker.md: "docker setup --check" says OK too.
		{"policy", datapath.EBPF, func(f *facts) { f.rules.policyDrop = []string{"iptables"} }, "firewall", request.OK, "iptables policy DROP"},
		{"policy and rules", datapath.EBPF, func(f *facts) { f.rules.policyDrop, f.rules.forward = []string{"iptables"}, 1 }, "firewall", request.Warn, "1 rules in FORWARD"},
		{"policy with rules that accept judges", datapath.EBPF, func(f *facts) {
			f.firstPacket, f.rules.policyDrop, f.rules.accepting = true, []string{"iptables"}, []string{"iptables"}
		}, "firewall", request.OK, "judge connections"},
		{"policy without rules of its own family judges", datapath.EBPF, func(f *facts) {
			f.firstPacket, f.rules.policyDrop, f.rules.accepting = true, []string{"iptables", "ip6tables"}, []string{"iptables"}
		}, "firewall", request.Warn, "need rules that accept them"},
		{"all local ports reserved", both, func(f *facts) { f.sysctls["net/ipv4/ip_local_reserved_ports"] = "80,33000-60999" }, "local ports", request.Warn, "232 of them"},
		{"conntrack filling", datapath.IPTables, func(f *facts) { f.sysctls["net/netfilter/nf_conntrack_count"] = "55000" }, "nf_conntrack", request.Warn, "55000 of 65536"},
		{"conntrack full", datapath.IPTables, func(f *facts) { f.sysctls["net/netfilter/nf_conntrack_count"] = "65536" }, "nf_conntrack", request.Fail, "dropped"},
		{"an uplink that isn't there", both, func(f *facts) { f.uplinks = []string{"eth0", "nope"} }, "uplinks", request.Warn, "nope: there is no"},
		{"no uplink", both, func(f *facts) { f.devices = nil }, "uplinks", request.Warn, "no device"},
		{"wireguard as uplink", datapath.EBPF, func(f *facts) {
			f.devices = append(f.devices, device{name: "wg0", mtu: 1500, uplink: true, gro: true})
		}, "uplink header", request.Warn, "wg0"},
		{"jumbo network", both, func(f *facts) { f.devices[1].mtu = 9000 }, "mtu", request.Warn, "br-1 has 9000, uplink eth0 1500"},
		{"lro", both, func(f *facts) { f.devices[0].lro = true }, "offloads", request.Fail, "LRO"},
		{"no gro", both, func(f *facts) { f.devices[0].gro = false }, "offloads", request.Warn, "GRO"},
		{"foreign program", datapath.EBPF, func(f *facts) { f.devices[0].programs = []string{"tcx ingress cil_from_netdev"} }, "other programs", request.Warn, "cil_from_netdev"},
		{"other mode runs", datapath.EBPF, func(f *facts) { f.daemon.status.Datapath.Mode = datapath.IPTables }, "daemon state", request.Warn, "asked for was ebpf"},
		{"older daemon runs", both, func(f *facts) { f.daemon.client.Version = "v9" }, "daemon state", request.Warn, "this program is v9"},
		{"degraded", both, func(f *facts) { f.daemon.status.Degraded = []string{"uplink eth1 has vanished"} }, "daemon state", request.Warn, "vanished"},
		{"open socket", both, func(f *facts) { f.socket.mode, f.socket.directory = 0o666, 0o755 }, "socket", request.Fail, "0666"},
		{"open socket in a closed directory", both, func(f *facts) { f.socket.mode = 0o666 }, "socket", request.OK, ""},
		{"port not reserved", both, func(f *facts) { f.daemon.ports = []portFact{port} }, "published ports", request.Warn, "0.0.0.0:8080->80/tcp of sandbox web: not reserved"},
		{"stale device", both, func(f *facts) { f.daemon.known = nil }, "leftovers", request.Warn, "br-1"},
		{"stale port of a network that is there", both, func(f *facts) {
			f.devices = append(f.devices, device{name: "veth1", kind: "veth", owner: "e1", master: "n1"})
		}, "leftovers", request.Warn, "veth1"},
		{"port of another's network", both, func(f *facts) {
			f.daemon.carried = map[string]bool{"n1": true}
			f.devices = append(f.devices, device{name: "veth1", kind: "veth", owner: "e1", master: "n1"})
		}, "leftovers", request.OK, ""},
		{"two generations", datapath.EBPF, func(f *facts) { f.otherTables = []string{"a"} }, "leftovers", request.Warn, "other versions"},
	} {
		modes := []datapath.Mode{tc.mode}
		if tc.mode == both {
			modes = []datapath.Mode{datapath.EBPF, datapath.IPTables}
		}
		for _, mode := range modes {
			t.Run(tc.name+" "+string(mode), func(t *testing.T) {
				f := healthy(mode)
				tc.change(f)
				got := worst(judge(f), tc.check)
				if got.Result != tc.want || !strings.Contains(got.Fact, tc.fact) {
					t.Errorf("got %+v, want %s with %q", got, tc.want, tc.fact)
				}
				if (got.Fix == "") != (got.Result == request.OK) {
					t.Errorf("fix %q for %s", got.Fix, got.Result)
				}
			})
		}
	}
}

// worst returns the check of that name with the worst result.
func worst(checks []request.Check, name string) request.Check {
	order := map[request.Result]int{request.OK: 1, request.Warn: 2, request.Fail: 3}
	var got request.Check
	for _, c := range checks {
		if c.Name == name && order[c.Result] > order[got.Result] {
			got = c
		}
	}
	return got
}

func TestRealtime(t *testing.T) {
	const debian, mainline = "#1 SMP PREEMPT_RT Debian 6.12.9-1 (2025-01-10)", "#1 SMP PREEMPT_DYNAMIC Debian 6.12.9-1 (2025-01-10)"
	for _, tc := range []struct {
		flag, version string
		want          bool
	}{
		{"", mainline, false}, {"0\n", mainline, false}, {"", "#1 SMP PREEMPT_RTX", false},
		{"1\n", mainline, true}, {"1\n", debian, true}, {"", debian, true},
	} {
		if got := realtime(tc.flag, tc.version); got != tc.want {
			t.Errorf("%q, %q: %v, want %v", tc.flag, tc.version, got, tc.want)
		}
	}
}

func TestReservedWithin(t *testing.T) {
	for list, want := range map[string]int{"": 0, "80": 0, "100": 1, "90-105": 6, "100,110-119,200-300": 11, "x,150-y": 0, "0-65535": 100} {
		if got := reservedWithin(list, 100, 199); got != want {
			t.Errorf("%q: %d ports, want %d", list, got, want)
		}
	}
}

// No advice alone may cut containers off: what refuses by default would judge them.
func TestAdviceNamesWhatAcceptsFirst(t *testing.T) {
	for name, rules := range map[string]ruleset{
		"policy and rules": {policyDrop: []string{"iptables"}, forward: 1}, "ufw": {ufw: true, policyDrop: []string{"iptables"}},
		"firewalld": {firewalld: true}, "nft": {nftables: []string{"inet mine"}},
		"DOCKER-USER": {policyDrop: []string{"iptables"}, dockerUser: []string{"iptables -A DOCKER-USER -j DROP"}},
	} {
		f := healthy(datapath.EBPF)
		f.rules = rules
		for _, c := range firewall(f) {
			if c.Result == request.OK || !strings.Contains(c.Fix, "Your own firewall rules") {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}
