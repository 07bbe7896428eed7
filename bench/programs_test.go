// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// path is one way through a program.
type path struct {
	name    string
	program rig.Program
	device  string
	// before are packets that open what the path's own then finds.
	before []rig.Run
	frame  frame.Frame
	want   int32
}

func paths(w rig.World, v6 bool) []path {
	far, client := netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("198.51.100.77")
	if v6 {
		far, client = netip.MustParseAddr("2001:4860:4860::8888"), netip.MustParseAddr("2001:db8:1::77")
	}
	web, host := w.Web.Addr(v6), w.Eth0.Addr(v6)
	syn := frame.Between(w.Web.MAC, w.Net1.MAC).IP(web, far).TCP(40000, 443, "S")
	out := syn.Flags("A")
	back := frame.Between(w.RouterMAC, w.Eth0.MAC).IP(far, host).TCP(443, 40000, "A")
	visit := frame.Between(w.RouterMAC, w.Eth0.MAC).IP(client, host).TCP(50000, 8080, "S")
	opened := []rig.Run{{Program: rig.FromContainer, Device: "web", Frame: syn.Bytes()}}
	visited := []rig.Run{{Program: rig.FromUplink, Device: "eth0", Frame: visit.Bytes()}}
	peer := frame.Between(w.Web.MAC, w.App.MAC).IP(web, w.App.Addr(v6)).TCP(1, 2, "A")
	own := frame.Between(w.Eth0.MAC, w.RouterMAC).IP(host, far).TCP(40001, 443, "A")
	return []path{
		{"from_container/peer", rig.FromContainer, "web", nil, peer, rig.Redirect},
		{"from_container/masqueraded", rig.FromContainer, "web", opened, out, rig.Redirect},
		{"from_container/published", rig.FromContainer, "web", visited,
			frame.Between(w.Web.MAC, w.Net1.MAC).IP(web, client).TCP(80, 50000, "A"), rig.Redirect},
		{"from_container/to_gateway", rig.FromContainer, "web", nil, out.IP(web, w.Net1.Gateway(v6)), rig.Next},
		{"from_container/refused", rig.FromContainer, "web", nil, out, rig.Drop},
		{"from_uplink/masqueraded", rig.FromUplink, "eth0", opened, back, rig.Redirect},
		{"from_uplink/published", rig.FromUplink, "eth0", visited, visit.Flags("A"), rig.Redirect},
		{"from_uplink/for_the_host", rig.FromUplink, "eth0", nil, visit.TCP(50000, 22, "A"), rig.Next},
		{"to_uplink/of_the_host", rig.ToUplink, "eth0", nil, own, rig.Next},
		{"to_container/of_the_host", rig.ToContainer, "web", nil, peer, rig.Next},
	}
}

// BenchmarkProgram is the cost of a packet on paths that find what they need.
func BenchmarkProgram(b *testing.B) {
	h := rig.New(b, rig.Options{})
	for family, v6 := range map[string]bool{"ipv4": false, "ipv6": true} {
		for _, p := range paths(h.World, v6) {
			b.Run(p.name+"/"+family, func(b *testing.B) { benchmarkPath(b, h, p, v6) })
		}
	}
}

func benchmarkPath(b *testing.B, h *rig.Host, p path, v6 bool) {
	h.Restore(b)
	h.Publish(b, rig.Any(v6), 8080, model.TCP, h.Web, 80)
	for _, r := range p.before {
		if got := h.Run(b, r); got.Action != rig.Redirect {
			b.Fatalf("opening packet: action %d", got.Action)
		}
	}
	r := newRewinder(b, h, rig.Run{Program: p.program, Device: p.device, Frame: p.frame.Bytes()})
	if _, action := r.measure(b, h.Program(p.program), 1); action != p.want {
		b.Fatalf("action %d, want %d", action, p.want)
	}
	empty, _ := r.measure(b, r.empty, min(b.N, 100))
	b.ResetTimer()
	took, _ := r.measure(b, h.Program(p.program), b.N)
	b.StopTimer()
	report(b, took, empty)
}

// report replaces the time of an operation, which is repeat packets with all that
// running them takes.
func report(b *testing.B, took, empty float64) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took-empty, "ns/packet")
	b.ReportMetric(took/empty, "x-empty")
}
