// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"net/netip"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
	"github.com/fairway-project/fairway/userspace/model"
)

// flowsAtOnce is how many flows are opened before the table is emptied.
const flowsAtOnce = 20000

// BenchmarkNewFlow is the cost of a flow's first packet: policy, route, port and
// two entries. Every packet is another, so every run is a system call, whose time
// an empty program tells.
func BenchmarkNewFlow(b *testing.B) {
	room := uint32(4 * flowsAtOnce)
	h := rig.New(b, rig.Options{MaxEntries: map[string]uint32{object.DatapathMapFlows4: room, object.DatapathMapFlows6: room}})
	empty := newProgram(b, "empty", emptyCode())
	w := h.World
	for family, v6 := range map[string]bool{"ipv4": false, "ipv6": true} {
		far := netip.MustParseAddr("8.8.8.8")
		if v6 {
			far = netip.MustParseAddr("2001:4860:4860::8888")
		}
		out := frame.Between(w.Web.MAC, w.Net1.MAC).IP(w.Web.Addr(v6), far)
		in := frame.Between(w.RouterMAC, w.Eth0.MAC).IP(far, w.Eth0.Addr(v6))
		for name, run := range map[string]func(port uint16) rig.Run{
			"masqueraded": func(port uint16) rig.Run {
				return rig.Run{Program: rig.FromContainer, Device: "web", Frame: out.TCP(port, 443, "S").Bytes()}
			},
			"published": func(port uint16) rig.Run {
				return rig.Run{Program: rig.FromUplink, Device: "eth0", Frame: in.TCP(port, 8080, "S").Bytes()}
			},
		} {
			b.Run(name+"/"+family, func(b *testing.B) { benchmarkNewFlow(b, h, empty, v6, run) })
		}
	}
}

func benchmarkNewFlow(b *testing.B, h *rig.Host, empty *ebpf.Program, v6 bool, run func(uint16) rig.Run) {
	var runs []*ebpf.RunOptions
	for i := range min(b.N, flowsAtOnce) {
		runs = append(runs, h.Options(run(uint16(2000+i)), 1))
	}
	target := h.Program(run(0).Program)
	var times []time.Duration
	for left := b.N; left > 0; left -= len(runs) {
		b.StopTimer()
		h.Restore(b)
		h.Publish(b, rig.Any(v6), 8080, model.TCP, h.Web, 80)
		b.StartTimer()
		times = append(times, each(b, h, target, runs[:min(left, len(runs))])...)
	}
	b.StopTimer()
	report(b, median(times), median(each(b, h, empty, runs)))
}

// each returns the time of every run.
func each(b *testing.B, h *rig.Host, p *ebpf.Program, runs []*ebpf.RunOptions) []time.Duration {
	b.Helper()
	times := make([]time.Duration, len(runs))
	var err error
	h.Do(func() {
		for i, r := range runs {
			start := time.Now()
			if _, err = p.Run(r); err != nil {
				return
			}
			times[i] = time.Since(start)
		}
	})
	check(b, err)
	return times
}
