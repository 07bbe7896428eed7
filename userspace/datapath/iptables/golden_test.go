// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

var update = flag.Bool("update", false, "write the golden files anew")

// variant is one point of the cross product of everything that changes rules.
type variant struct {
	mode                                             model.GatewayMode
	internal, icc, masquerade, snat, trusted, bindLo bool
}

// variants calls f for the whole product.
func variants(f func(variant)) {
	for _, mode := range []model.GatewayMode{
		model.GatewayNAT, model.GatewayNATUnprotected, model.GatewayRouted, model.GatewayIsolated,
	} {
		for bits := range 1 << 6 {
			bit := func(i int) bool { return bits>>i&1 == 1 }
			f(variant{mode, bit(0), bit(1), bit(2), bit(3), bit(4), bit(5)})
		}
	}
}

// possible reports whether a network can be made like this at all.
func (v variant) possible() bool { return v.mode != model.GatewayIsolated || v.internal }

// name leaves out what can't matter, so that combinations which have to give the
// same rules share one golden file.
func (v variant) name(f Family) string {
	parts := []string{fmt.Sprintf("internal=%t,icc=%t", v.internal, v.icc)}
	if !v.internal {
		parts = append(parts, "mode="+string(v.mode), fmt.Sprintf("snat=%t", v.snat))
		if v.mode != model.GatewayRouted {
			parts = append(parts, fmt.Sprintf("masquerade=%t", v.masquerade))
			if f == IPv4 {
				parts = append(parts, fmt.Sprintf("loopback=%t", v.bindLo))
			}
		}
		if v.mode == model.GatewayNAT {
			parts = append(parts, fmt.Sprintf("trusted=%t", v.trusted))
		}
	}
	return strings.Join(parts, ",") + "__" + strings.ToLower(f.String()) + ".golden"
}

func (v variant) desired() datapath.Desired {
	n := datapath.Network{
		ID: "net1", Name: "net1", Device: datapath.Device{Name: "bridge1"}, Internal: v.internal, ICC: v.icc, Masquerade: v.masquerade,
		IPv4: &datapath.Subnet{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Gateway: netip.MustParseAddr("192.0.2.1"), Mode: v.mode},
		IPv6: &datapath.Subnet{Prefix: netip.MustParsePrefix("2001:db8:1::/64"), Gateway: netip.MustParseAddr("2001:db8:1::1"), Mode: v.mode},
	}
	if v.snat {
		n.IPv4.Source = netip.MustParseAddr("198.51.100.1")
		n.IPv6.Source = netip.MustParseAddr("2001:db8:2::1")
	}
	if v.trusted {
		n.Trusted = []string{"tailscale0", "wg0"}
	}
	e := datapath.Endpoint{
		ID: "ep1", NetworkID: "net1",
		IPv4: netip.MustParseAddr("192.0.2.2"), IPv6: netip.MustParseAddr("2001:db8:1::2"),
		Links: []datapath.Link{{
			IPv4: netip.MustParseAddr("192.0.2.9"), IPv6: netip.MustParseAddr("2001:db8:1::9"),
			Ports: []model.Port{{Num: 5432, Proto: model.TCP}},
		}},
	}
	return datapath.Desired{
		Networks: []datapath.Network{n}, Endpoints: []datapath.Endpoint{e},
		Ports: map[string][]datapath.Port{"ep1": v.ports(e)},
	}
}

func (v variant) ports(e datapath.Endpoint) []datapath.Port {
	host4, host6 := netip.IPv4Unspecified(), netip.IPv6Unspecified()
	if v.bindLo {
		host4 = netip.MustParseAddr("127.0.0.1")
	}
	port := func(host, target netip.Addr, hostPort, num uint16, proto model.Proto) datapath.Port {
		p := datapath.Port{PublishedPort: model.PublishedPort{
			Port: model.Port{Num: num, Proto: proto}, HostIP: host, HostPort: hostPort,
		}, Target: target}
		if v.mode == model.GatewayRouted {
			p.Routed, p.HostPort = true, 0
		}
		return p
	}
	return []datapath.Port{
		port(host4, e.IPv4, 8080, 80, model.TCP),
		port(host6, e.IPv6, 8080, 80, model.TCP),
		port(host4, e.IPv4, 5353, 53, model.UDP),
		port(host6, e.IPv6, 5353, 53, model.UDP),
		port(host4, e.IPv4, 8081, 80, model.TCP), // a second way to the same port
	}
}

// TestRules compares the rules of every possible network with golden files. The
// files are this package's own; their forms follow moby's iptabler with
// hairpin=true, and TestAsDockerDoes compares with a dockerd that runs.
func TestRules(t *testing.T) {
	seen := make(map[string]bool)
	variants(func(v variant) {
		if !v.possible() {
			return
		}
		for _, f := range families {
			name := v.name(f)
			golden(t, name, rules(f, v.desired(), model.PortRange{}).String())
			seen[name] = true
		}
	})
	files, err := os.ReadDir(filepath.Join("testdata", "rules"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !seen[file.Name()] {
			t.Errorf("golden file %s is of no variant", file.Name())
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "rules", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
