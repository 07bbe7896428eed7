// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"testing"

	"golang.org/x/net/bpf"
)

// guardPrivateSources watches what leaves the host under test for as long as the
// test runs. A packet with a container's address as its source fails it: that
// must not happen in any state of the tables. Netfilter lets one pass when its
// conntrack finds a segment invalid, which any test may cause.
func (e *Env) guardPrivateSources(t *testing.T) {
	t.Helper()
	if !e.Protects("NAT-14") {
		return
	}
	s := Sniff(t, e.Switch, "host", privateSources())
	t.Cleanup(func() {
		if found := s.Seen(nil); len(found) > 0 {
			t.Errorf("%d packets with a private source left the host, the first:\n%s", len(found), found[0])
		}
	})
}

// privateSources accepts IPv4 from 10/8, 172.16/12 and 192.168/16, ARP that asks
// or answers for such an address, and IPv6 from fc00::/7.
func privateSources() []bpf.Instruction {
	const (
		etherType = 12
		ip4Src    = 14 + 12
		arpSender = 14 + 14
		ip6Src    = 14 + 8
	)
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: etherType, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x86dd, SkipFalse: 3},
		bpf.LoadAbsolute{Off: ip6Src, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xfe},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0xfc, SkipTrue: 14, SkipFalse: 15},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x0806, SkipFalse: 2},
		bpf.LoadAbsolute{Off: arpSender, Size: 4},
		bpf.Jump{Skip: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x0800, SkipFalse: 11},
		bpf.LoadAbsolute{Off: ip4Src, Size: 4},
		bpf.TAX{},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xff000000},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x0a000000, SkipTrue: 6},
		bpf.TXA{},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xfff00000},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0xac100000, SkipTrue: 3},
		bpf.TXA{},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xffff0000},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0xc0a80000, SkipFalse: 1},
		bpf.RetConstant{Val: 0xffff},
		bpf.RetConstant{Val: 0},
	}
}
