// SPDX-License-Identifier: Apache-2.0

//go:build long

package test

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/fairway-project/fairway/test/wirefuzz"
)

// What TestLongFuzz reads: which frames, to see a failure again, and how many in all.
const (
	envFuzzSeed   = "FAIRWAY_FUZZ_SEED"
	envFuzzFrames = "FAIRWAY_FUZZ_FRAMES"
)

// A million frames of attackers, in containers and on the LAN, with the programs in each
// of the ways in which they run. None arrives where it must not, none leaves with a
// container's address, those that were right stay right, and what is established goes on.
func TestLongFuzz(t *testing.T) {
	seed, frames := fuzzNumber(t, envFuzzSeed, rand.Uint64()>>1), int(fuzzNumber(t, envFuzzFrames, 1_000_000))
	t.Logf("to see it again: %s=%d", envFuzzSeed, seed)
	variants := map[string][]harness.Option{
		"tc":           nil,
		"xdp generic":  {harness.DaemonArgs("--xdp", "generic")},
		"xdp native":   {harness.DaemonArgs("--xdp", "native")},
		"first-packet": {harness.FirstPacket()},
	}
	for name, opts := range variants {
		t.Run(name, func(t *testing.T) {
			harness.ForEach(t, func(t *testing.T, e *harness.Env) {
				f := newFuzz(t, e, seed)
				attackers := f.attackers(t)
				for _, a := range attackers {
					f.attack(t, a, frames/len(attackers)/len(variants))
				}
				f.end(t)
				// Its own world: the host answers fragments that lack others up to a minute later,
				// by the gateway's address.
			}, append(opts, harness.OnlyMode(harness.EBPF), harness.AllowPrivate(), harness.Own())...)
		})
	}
}

func fuzzNumber(t *testing.T, env string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(env)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		t.Fatalf("%s: %v", env, err)
	}
	return n
}

// fuzz is a world with victims, and taps where attackers' frames may or must not arrive.
type fuzz struct {
	*harness.Env
	seed                       uint64
	a1, a2, b1, i1, i2, n1, n2 *harness.Sandbox
	taps                       map[string]*harness.Tap
	flows                      *harness.Flows
	// arrived counts frames where they may arrive.
	arrived map[string]*atomic.Int64
}

func newFuzz(t *testing.T, e *harness.Env, seed uint64) *fuzz {
	f := &fuzz{Env: e, seed: seed}
	e.Network(t, "a", numA)
	e.Network(t, "b", numB)
	e.Network(t, "i", numI, "--internal")
	e.Network(t, "n", numI+1, "-o", "com.docker.network.bridge.enable_icc=false")
	f.a1, f.a2 = e.Sandbox(t, "a1", "--network", "a"), e.Sandbox(t, "a2", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
	f.b1 = e.Sandbox(t, "b1", "--network", "b")
	f.i1, f.i2 = e.Sandbox(t, "i1", "--network", "i"), e.Sandbox(t, "i2", "--network", "i")
	f.n1, f.n2 = e.Sandbox(t, "n1", "--network", "n"), e.Sandbox(t, "n2", "--network", "n")
	serve(t, f.a2.Netns, 80, "a2")
	serve(t, f.a2.Netns, 81, "unpublished")
	serve(t, e.WAN, 80, "wan")
	f.flows = harness.NewFlows(t)
	f.flows.TCP(t, e.LAN2, at(harness.HostIP4, 8080))
	f.flows.TCP(t, e.LAN2, at(harness.HostIP6, 8080))
	f.flows.TCP(t, f.b1.Netns, at(harness.WANIP4, 80))
	f.flows.TCP(t, f.b1.Netns, at(harness.WANIP6, 80))
	f.watch(t)
	return f
}

// attacker is one who sends; its name is its origin's.
type attacker struct {
	origin byte
	from   *harness.Netns
	world  wirefuzz.World
}

func (f *fuzz) attackers(t *testing.T) []attacker {
	return []attacker{
		{'a', f.a1.Netns, f.inside(t, f.a1)}, {'i', f.i1.Netns, f.inside(t, f.i1)},
		{'n', f.n1.Netns, f.inside(t, f.n1)}, {'l', f.LAN1, f.onLAN(t)},
	}
}

// families are both, for lists.
func families() []harness.Family { return []harness.Family{harness.V4(), harness.V6()} }

// everybody are the addresses that matter to somebody.
func (f *fuzz) everybody(t *testing.T) (addrs []netip.Addr) {
	for s, network := range f.homes() {
		for _, fam := range families() {
			addrs = append(addrs, netip.MustParseAddr(s.IP(t, network, fam)))
			// An internal network has none.
			if gateway, err := netip.ParseAddr(s.Gateway(network, fam)); err == nil {
				addrs = append(addrs, gateway)
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare) // what a seed makes doesn't hang on a map's order
	for _, a := range []string{
		harness.HostIP4, harness.HostIP6, harness.LAN1IP4, harness.LAN1IP6, harness.WANIP4, harness.WANIP6, harness.RouterIP4, harness.RouterIP6,
		"127.0.0.1", "::1", "0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1", "ff02::16", "ff0e::1", "fe80::1", "172.30.0.255", "240.0.0.1",
		"::ffff:192.0.2.1", "198.51.100.77", "2001:db8:1::77",
	} {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs
}

// homes are the networks of the sandboxes.
func (f *fuzz) homes() map[*harness.Sandbox]string {
	return map[*harness.Sandbox]string{f.a1: "a", f.a2: "a", f.b1: "b", f.i1: "i", f.i2: "i", f.n1: "n", f.n2: "n"}
}

// hostPort is where sockets of the host listen.
const hostPort = 9999

func fuzzPorts() []uint16 {
	return []uint16{80, 80, 8080, 8080, 81, 53, 67, 68, 546, 547, 4789, hostPort}
}

// inside is the world of a container.
func (f *fuzz) inside(t *testing.T, s *harness.Sandbox) wirefuzz.World {
	network := f.homes()[s]
	w := wirefuzz.World{Station: s.MAC(t, network), Sources: f.everybody(t), Targets: f.everybody(t), Ports: fuzzPorts()}
	for _, fam := range families() {
		w.Own = append(w.Own, netip.MustParseAddr(s.IP(t, network, fam)))
	}
	gateway := harness.HardwareAddr(t, f.Host, bridgeOf(t, f.Env, network))
	for _, victim := range []*harness.Sandbox{f.a2, f.i2, f.n2, f.b1} {
		w.Claims = append(w.Claims, victim.MAC(t, f.homes()[victim]))
	}
	w.MACs = append(groups(), w.Claims...)
	w.MACs = append(w.MACs, gateway, gateway, gateway, gateway, gateway, gateway)
	w.Claims = append(w.Claims, gateway)
	return w
}

// onLAN is the world of a neighbour of the host's, who may claim any address but knows that
// the switch learns from what he sends.
func (f *fuzz) onLAN(t *testing.T) wirefuzz.World {
	station, host := harness.HardwareAddr(t, f.LAN1, "eth0"), harness.HardwareAddr(t, f.Host, "eth0")
	return wirefuzz.World{
		Station: station, Claims: []net.HardwareAddr{station}, MACs: append(groups(), host, host, host, host, host, host),
		Own:     []netip.Addr{netip.MustParseAddr(harness.LAN1IP4), netip.MustParseAddr(harness.LAN1IP6)},
		Sources: f.everybody(t), Targets: f.everybody(t), Ports: fuzzPorts(), Quiet: true,
	}
}

// groups are addresses of many.
func groups() []net.HardwareAddr {
	return []net.HardwareAddr{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x33, 0x33, 0, 0, 0, 1}, {1, 0, 0x5e, 0, 0, 1}}
}

// attack sends an attacker's frames, and sees that the world still works.
func (f *fuzz) attack(t *testing.T, a attacker, frames int) {
	t.Helper()
	g := wirefuzz.New(f.seed, a.origin, a.world)
	taken := harness.Spray(t, a.from, "eth0", frames, g.Next)
	t.Logf("%c: %d of %d frames were sent", a.origin, taken, frames)
	if taken < frames*9/10 {
		t.Errorf("%c: the device refused %d of %d frames", a.origin, frames-taken, frames)
	}
	f.flows.Advance(t, 40)
	f.Must(t, "status", "--brief")
}

// end judges what is still under way, and tries what has to work yet.
func (f *fuzz) end(t *testing.T) {
	t.Helper()
	f.flows.Advance(t, 200)
	f.flows.Stop(t)
	for name, tap := range f.taps {
		t.Logf("%s: %d frames, %d more weren't looked at", name, tap.Seen(), tap.End(t))
	}
	for _, what := range []string{"a in a2", "l in a2", "a outside", "n outside"} {
		if f.arrived[what].Load() == 0 {
			t.Errorf("no frame of %s", what)
		}
	}
	for _, fam := range families() {
		harness.Reaches(t, f.LAN2, fam.Host, 8080, "a2")
		harness.Misses(t, f.LAN2, fam.Host, 8081)
	}
}
