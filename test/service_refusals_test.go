// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/bpf"
)

// ICM-07: a flood of what a service without backends is asked isn't answered packet by packet. Who
// asks after it is told.
func TestServiceRefusalsAreLimited(t *testing.T) {
	const flood, perSecond = 20_000, 1000
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		web := e.Service(t, "web", "--network", "a", "--port", "80/udp", "--publish", "8080:80/udp", "--select", "app=web")
		client, flooder := e.Sandbox(t, "client", "--network", "a"), e.Sandbox(t, "flooder", "--network", "a")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			lan2 := harness.Ethernet(harness.HardwareAddr(t, e.LAN2, "eth0"), harness.HardwareAddr(t, e.Host, "eth0"), f)
			inside := harness.Ethernet(flooder.MAC(t, "a"), harness.HardwareAddr(t, e.Host, bridgeOf(t, e, "a")), f)
			for _, w := range []struct {
				from     *harness.Netns
				eth      *layers.Ethernet
				src, dst string
				port     uint16
				other    walk
			}{
				{e.LAN2, lan2, f.LAN2, f.Host, 8080, walk{e.LAN1, at(f.Host, 8080)}},
				{flooder.Netns, inside, flooder.IP(t, "a", f), web.VIP(t, "a", f), 80, walk{client.Netns, at(web.VIP(t, "a", f), 80)}},
			} {
				var before map[string]uint64
				if e.Mode == harness.EBPF {
					before = e.Drops(t)
				}
				errs, began := harness.NewTap(t, w.from, "eth0", unreachables(f), func([]byte) error { return nil }), time.Now()
				datagram := frame.Between(model.MAC(w.eth.SrcMAC), model.MAC(w.eth.DstMAC)).IP(netip.MustParseAddr(w.src), netip.MustParseAddr(w.dst)).UDP(43000, w.port).Bytes()
				sent := harness.Spray(t, w.from, "eth0", flood, func() []byte { return datagram })
				harness.Eventually(t, "another to be told", func() error {
					// By IPv6 it is on the flooder's /64, and told in another second only.
					if _, err := harness.GetUDP(w.other.from, w.other.dst, harness.Within(harness.Silence)); !errors.Is(err, syscall.ECONNREFUSED) {
						return fmt.Errorf("%s → %s: %w", w.other.from.Name, w.other.dst, err)
					}
					return nil
				})
				// As many as there may be in so long.
				most := perSecond * (int64(time.Since(began)/time.Second) + 2)
				if got := errs.Seen(); got > most {
					t.Errorf("%s → %s: %d errors about %d datagrams, want at most %d", w.from.Name, w.dst, got, sent, most)
				}
				if e.Mode == harness.EBPF && int64(sent) > 2*most {
					e.Dropped(t, "answer_rate", before, 1)
				}
			}
		})
	})
}

// unreachables is a filter of the errors that say so.
func unreachables(f harness.Family) []bpf.Instruction {
	at, kind := uint32(14+20), uint32(layers.ICMPv4TypeDestinationUnreachable)
	proto, ip := uint32(14+9), layers.IPProtocolICMPv4
	if f.Is6() {
		at, kind, proto, ip = 14+40, uint32(layers.ICMPv6TypeDestinationUnreachable), 14+6, layers.IPProtocolICMPv6
	}
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: proto, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(ip), SkipFalse: 3},
		bpf.LoadAbsolute{Off: at, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: kind, SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 18},
		bpf.RetConstant{Val: 0},
	}
}
