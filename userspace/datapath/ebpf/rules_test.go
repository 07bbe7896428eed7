// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/conntrack"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// sysctl writes a setting below /proc/sys/net in the world's namespace, and returns
// what it was.
func (w *world) sysctl(name, value string) (before string) {
	w.t.Helper()
	w.do(func() error {
		path := filepath.Join("/proc/sys/net", name)
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		before = strings.TrimSpace(string(raw))
		return os.WriteFile(path, []byte(value), 0)
	})
	return before
}

func (w *world) firstPacket(on bool) {
	w.t.Helper()
	if err := w.dp.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.cfg.FirstPacket = on
	w.open()
}

func (w *world) generation() uint16 {
	w.t.Helper()
	g, err := w.dp.addresses.table.RulesGeneration()
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

// A change of rules makes flows be judged again, at once where the kernel tells.
func TestChangedRulesBeginAGeneration(t *testing.T) {
	w := newWorld(t)
	equal(t, "generation in bypass mode", w.generation(), 0)
	w.firstPacket(true)
	first := w.generation()
	if first == 0 {
		t.Error("the mode begins with generation 0")
	}
	w.do(func() error {
		return exec.Command("nft", "add table inet operator; add chain inet operator forward { type filter hook forward priority 0; }").Run()
	})
	for deadline := time.Now().Add(time.Minute); w.generation() == first; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the change wasn't noticed")
		}
	}
	before := w.generation()
	w.firstPacket(true)
	if w.generation() == before {
		t.Error("rules may have changed while no daemon ran")
	}
}

// Conntrack is liberal in the mode, and as it was afterwards.
func TestStrictness(t *testing.T) {
	const name = "netfilter/nf_conntrack_tcp_be_liberal"
	w := newWorld(t)
	equal(t, "before", w.sysctl(name, "0"), "0")
	w.firstPacket(true)
	equal(t, "in the mode", w.sysctl(name, "0"), "1")
	for deadline := time.Now().Add(time.Minute); w.sysctl(name, "0") == "0"; time.Sleep(3 * time.Second) {
		if time.Now().After(deadline) {
			t.Fatal("conntrack stays strict")
		}
	}
	w.firstPacket(true)
	w.firstPacket(false)
	equal(t, "after the mode", w.sysctl(name, "1"), "0")
	w.firstPacket(true)
	w.firstPacket(false)
	equal(t, "where it had been liberal", w.sysctl(name, "0"), "1")
}

func TestFirstPacketWantsForwarding(t *testing.T) {
	w := newWorld(t)
	w.firstPacket(true)
	refused := func(n datapath.Network) (text string) {
		w.do(func() error {
			if err := w.dp.EnsureNetwork(t.Context(), n); err != nil {
				text = err.Error()
			}
			return nil
		})
		return text
	}
	n := w.network()
	w.sysctl("ipv4/ip_forward", "0")
	if got := refused(n); !strings.HasPrefix(got, "network net1: net.ipv4.ip_forward is 0") {
		t.Errorf("got %q", got)
	}
	w.sysctl("ipv4/ip_forward", "1")
	w.sysctl("ipv6/conf/all/forwarding", "0")
	if got := refused(n); !strings.HasPrefix(got, "network net1: net.ipv6.conf.all.forwarding is 0") {
		t.Errorf("got %q", got)
	}
	n.Internal = true
	equal(t, "internal", refused(n), "")
	n.Internal = false
	w.sysctl("ipv6/conf/all/forwarding", "1")
	equal(t, "forwarding", refused(n), "")
}

// Netfilter knows connections as the container does, whoever began them.
func TestTrackOf(t *testing.T) {
	const container, world flow.Zone = 1, object.DatapathZoneZONE_WORLD
	half := func(src, dst, natSrc, natDst string, zone flow.Zone, flags flow.Flags, proto model.Proto) *flow.Half {
		h := &flow.Half{
			Key:    flow.Key{Src: netip.MustParseAddrPort(src), Dst: netip.MustParseAddrPort(dst), Zone: zone, Proto: uint8(proto)},
			NATSrc: netip.MustParseAddrPort(natSrc), NATDst: netip.MustParseAddrPort(natDst), Flags: flags,
		}
		if flags&flagTwinWorld == 0 {
			h.TwinZone = container
		}
		return h
	}
	const web, remote, host = "172.20.0.2:5000", "198.51.100.1:80", "192.0.2.10:6000"
	out := conntrack.Tuple{Proto: uint8(model.TCP), Src: netip.MustParseAddrPort(web), Dst: netip.MustParseAddrPort(remote)}
	in := conntrack.Tuple{Proto: uint8(model.TCP), Src: out.Dst, Dst: out.Src}
	for name, c := range map[string]struct {
		half *flow.Half
		want conntrack.Tuple
		ok   bool
	}{
		"masqueraded":         {half(web, remote, host, remote, container, flagOrigin|flagTwinWorld, model.TCP), out, true},
		"its reply":           {half(remote, host, remote, web, world, 0, model.TCP), out, true},
		"published":           {half(remote, host, remote, web, world, flagOrigin, model.TCP), in, true},
		"its reply's":         {half(web, remote, host, remote, container, flagTwinWorld, model.TCP), in, true},
		"udp ends by itself":  {half(web, remote, host, remote, container, flagOrigin|flagTwinWorld, model.UDP), conntrack.Tuple{}, false},
		"between containers":  {half(web, remote, host, remote, container, flagOrigin, model.TCP), conntrack.Tuple{}, false},
		"its reply, that too": {half(remote, host, remote, web, container, 0, model.TCP), conntrack.Tuple{}, false},
	} {
		got, ok := trackOf(c.half)
		if ok != c.ok || got != c.want {
			t.Errorf("%s: %v, %t, want %v, %t", name, got, ok, c.want, c.ok)
		}
	}
}
