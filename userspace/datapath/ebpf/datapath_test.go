// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/icc"
	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/nl"
)

var compareAddrs = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, compareAddrs); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// snapshot is all that the control plane writes.
type snapshot struct {
	Networks  map[uint16]network.Network
	Subnets   map[netip.Prefix]uint16
	Endpoints map[uint16]endpoint.Endpoint
	Ports     map[publish.Key]publish.Entry
	Links     map[icc.Hole]uint16
	Addresses map[netip.Addr]uint32
	Uplinks   map[int]host.Uplink
	Resolvers int
	Bits      []model.Port
}

func (w *world) snapshot() snapshot {
	w.t.Helper()
	var s snapshot
	var errs [8]error
	d := w.dp
	s.Networks, errs[0] = d.networks.table.All()
	s.Subnets, errs[1] = d.networks.table.Subnets()
	s.Endpoints, errs[2] = d.endpoints.table.All()
	s.Ports, errs[3] = d.ports.table.All()
	s.Links, errs[4] = d.links.table.All()
	s.Addresses, errs[5] = d.addresses.table.Addresses()
	s.Uplinks, errs[6] = d.addresses.table.Uplinks()
	resolvers, err := d.resolvers.table.All()
	errs[7] = err
	s.Resolvers = len(resolvers)
	for _, err := range errs {
		if err != nil {
			w.t.Fatal(err)
		}
	}
	err = d.ports.table.Bits(func(proto model.Proto, port uint16) {
		s.Bits = append(s.Bits, model.Port{Num: port, Proto: proto})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

func TestEnsureFillsTheMaps(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint(1)
	e.Links = []datapath.Link{{IPv4: netip.MustParseAddr("172.20.0.9"), Ports: []model.Port{{Num: 5432, Proto: model.TCP}}}}
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(e), w.portsAre(e.ID, publication(e, model.TCP, 8080)))
	got := w.snapshot()
	equal(t, "networks", got.Networks, map[uint16]network.Network{1: {
		BridgeIndex: w.bridgeIndex, GatewayMAC: model.MAC{2, 0, 0, 0, 0, 1}, MTU: 1500,
		Gateway4: netip.MustParseAddr("172.20.0.1"), Gateway6: netip.MustParseAddr("fd00:20::1"),
		Subnet4: netip.MustParsePrefix("172.20.0.0/16"), Subnet6: netip.MustParsePrefix("fd00:20::/64"),
		Flags: object.DatapathNetworkFlagNETWORK_IPV4 | object.DatapathNetworkFlagNETWORK_IPV6 |
			object.DatapathNetworkFlagNETWORK_ICC | object.DatapathNetworkFlagNETWORK_MASQ4 | object.DatapathNetworkFlagNETWORK_ROUTED6,
	}})
	equal(t, "subnets", got.Subnets, map[netip.Prefix]uint16{
		netip.MustParsePrefix("172.20.0.0/16"): 1, netip.MustParsePrefix("fd00:20::/64"): 1,
	})
	equal(t, "endpoints", got.Endpoints, map[uint16]endpoint.Endpoint{1: {
		Index: e.HostIndex, IPv4: e.IPv4, IPv6: e.IPv6, MAC: e.MAC, Generation: 1, Network: 1, Ready: true,
	}})
	equal(t, "ports", got.Ports, map[publish.Key]publish.Entry{
		{Addr: netip.IPv4Unspecified(), Port: 8080, Proto: model.TCP}: {
			Target: netip.AddrPortFrom(e.IPv4, 80), Endpoint: 1, Generation: 1,
		},
	})
	equal(t, "bits", got.Bits, []model.Port{{Num: 8080, Proto: model.TCP}})
	equal(t, "links", got.Links, map[icc.Hole]uint16{
		{Network: 1, From: e.IPv4, To: netip.MustParseAddr("172.20.0.9"), Port: 5432, Proto: model.TCP}: 1,
	})
	equal(t, "addresses", got.Addresses, map[netip.Addr]uint32{
		netip.MustParseAddr("127.0.0.1"): 0, netip.MustParseAddr("192.0.2.10"): 0, netip.MustParseAddr("2001:db8::10"): 0,
		netip.IPv6Loopback(): 0, netip.MustParseAddr("172.20.0.1"): 2, netip.MustParseAddr("fd00:20::1"): 2,
	})
	equal(t, "uplinks", got.Uplinks, map[int]host.Uplink{w.uplink: {
		IPv4: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24")}, IPv6: []netip.Addr{netip.MustParseAddr("2001:db8::10")},
	}})
	for what, find := range map[string]func() (uint16, bool, error){
		"mac":    func() (uint16, bool, error) { return w.dp.endpoints.table.ByMAC(1, endpoint.Endpoint{MAC: e.MAC}) },
		"ipv4":   func() (uint16, bool, error) { return w.dp.endpoints.table.ByAddr(1, e.IPv4) },
		"ipv6":   func() (uint16, bool, error) { return w.dp.endpoints.table.ByAddr(1, e.IPv6) },
		"device": func() (uint16, bool, error) { return w.dp.endpoints.table.ByDevice(e.HostIndex) },
	} {
		if slot, found, err := find(); slot != 1 || !found || err != nil {
			t.Errorf("by %s: slot %d, found %t, %v", what, slot, found, err)
		}
	}
}

// Saying everything again, in this process or in the next, changes nothing.
func TestEnsureIsIdempotentAcrossRestarts(t *testing.T) {
	w := newWorld(t)
	a, b := w.endpoint(1), w.endpoint(2)
	everything := []func(context.Context) error{
		w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(a), w.endpointIs(b),
		w.portsAre(a.ID, publication(a, model.TCP, 8080)), w.portsAre(b.ID, publication(b, model.UDP, 53)),
	}
	w.ensure(everything...)
	want := w.snapshot()
	w.ensure(everything...)
	equal(t, "the second time", w.snapshot(), want)
	w.restart()
	equal(t, "after the restart", w.snapshot(), want)
	// In another order, so that slots come from the maps.
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(b), w.endpointIs(a),
		w.portsAre(b.ID, publication(b, model.UDP, 53)), w.portsAre(a.ID, publication(a, model.TCP, 8080)),
		w.pruned(datapath.Desired{
			Networks: []datapath.Network{w.network()}, Endpoints: []datapath.Endpoint{a, b},
			Ports: map[string][]datapath.Port{a.ID: {{}}, b.ID: {{}}},
		}))
	equal(t, "in the next process", w.snapshot(), want)
}

// What nobody wants any more when the next process starts goes with Prune.
func TestPruneRemovesLeftovers(t *testing.T) {
	w := newWorld(t)
	a, b := w.endpoint(1), w.endpoint(2)
	b.Links = []datapath.Link{{IPv4: a.IPv4, Ports: []model.Port{{Num: 1, Proto: model.UDP}}}}
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(a), w.endpointIs(b),
		w.portsAre(a.ID, publication(a, model.TCP, 8080)), w.portsAre(b.ID, publication(b, model.UDP, 53)),
		func(ctx context.Context) error {
			return w.dp.EnsureResolver(ctx, datapath.Resolver{SandboxID: "s", Netns: w.netns, UDPPort: 1, TCPPort: 2})
		})
	w.remove("veth2")
	w.restart()
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(a), w.pruned(datapath.Desired{
		Networks: []datapath.Network{w.network()}, Endpoints: []datapath.Endpoint{a},
	}))
	got := w.snapshot()
	if len(got.Endpoints) != 1 || len(got.Ports) != 0 || len(got.Bits) != 0 || len(got.Links) != 0 || got.Resolvers != 0 {
		t.Errorf("left: %+v", got)
	}
	for _, at := range w.attached() {
		if at.Device != "up0" && at.Device != "veth1" && at.Device != "cgroup" {
			t.Errorf("still attached: %+v", at)
		}
	}
	w.ensure(w.pruned(datapath.Desired{}), w.hostIs(model.Host{}))
	equal(t, "with nothing wanted", w.snapshot(), snapshot{Addresses: map[netip.Addr]uint32{netip.IPv6Loopback(): 0}})
}

func (w *world) attached() []datapath.Attachment {
	w.t.Helper()
	var s datapath.Status
	w.do(func() (err error) {
		s, err = w.dp.Status(context.Background())
		return err
	})
	return s.Attachments
}

// A new owner of a slot, and the same owner with another address, begin a new
// generation; ports follow it.
func TestGenerations(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint(1)
	w.ensure(w.networkIs(w.network()), w.endpointIs(e), w.portsAre(e.ID, publication(e, model.TCP, 8080)))
	e.IPv4 = netip.MustParseAddr("172.20.0.77")
	w.ensure(w.endpointIs(e))
	got := w.snapshot()
	if g := got.Endpoints[1]; g.Generation <= 1 || !g.Ready || g.IPv4 != e.IPv4 {
		t.Errorf("endpoint %s", g)
	}
	for k, p := range got.Ports {
		if p.Generation != got.Endpoints[1].Generation {
			t.Errorf("port %s has generation %d", k, p.Generation)
		}
	}
	if _, found, _ := w.dp.endpoints.table.ByAddr(1, netip.MustParseAddr("172.20.0.2")); found {
		t.Error("the former address is still known")
	}
	w.ensure(w.endpointGone(e.ID))
	freed, err := w.dp.endpoints.table.Get(1)
	if err != nil || freed.Generation <= got.Endpoints[1].Generation || freed.Ready || freed.Index != 0 {
		t.Errorf("freed slot: %s, %v", freed, err)
	}
	if left := w.snapshot(); len(left.Ports)+len(left.Bits)+len(left.Endpoints) != 0 {
		t.Errorf("left: %+v", left)
	}
}

func TestConflictsAreRefused(t *testing.T) {
	w := newWorld(t)
	a, b := w.endpoint(1), w.endpoint(2)
	w.ensure(w.networkIs(w.network()), w.endpointIs(a), w.portsAre(a.ID, publication(a, model.TCP, 8080)))
	before := w.snapshot()
	for want, change := range map[string]func(e *datapath.Endpoint){
		"endpoint ep2: mac address 02:42:ac:14:00:02 is endpoint ep1's": func(e *datapath.Endpoint) { e.MAC = a.MAC },
		"endpoint ep2: address 172.20.0.2 fd00:20::3 is endpoint ep1's": func(e *datapath.Endpoint) { e.IPv4 = a.IPv4 },
		"endpoint ep2: device veth2 is endpoint ep1's":                  func(e *datapath.Endpoint) { e.HostIndex = a.HostIndex },
		"endpoint ep2: network nope isn't known to the datapath":        func(e *datapath.Endpoint) { e.NetworkID = "nope" },

		"endpoint ep2: it has no device on this host, and nothing leads to endpoints of other hosts": func(e *datapath.Endpoint) { e.HostIndex = 0 },
	} {
		c := b
		change(&c)
		w.do(func() error {
			if err := w.dp.EnsureEndpoint(context.Background(), c); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
			return nil
		})
	}
	equal(t, "after refusals", w.snapshot(), before)
	w.ensure(w.endpointIs(b))
	w.do(func() error {
		err := w.dp.EnsurePorts(context.Background(), b.ID, []datapath.Port{publication(b, model.TCP, 8080)})
		if want := "published port 0.0.0.0:8080/tcp: endpoint ep1 has it"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		return nil
	})
}

// Two networks may have the same addresses: each knows its own endpoints. The host's routes
// lead to one of them, the first, until it goes.
func TestTwoNetworksWithOneSubnet(t *testing.T) {
	w := newWorld(t)
	one, two := w.network(), w.network()
	two.ID, two.Name, two.Device = "net2", "net2", datapath.Device{Name: "br1", Index: w.bridge("br1"), MAC: model.MAC{2, 0, 0, 0, 0, 2}}
	a, b := w.endpoint(1), w.endpoint(2)
	b.NetworkID, b.MAC, b.IPv4, b.IPv6 = two.ID, a.MAC, a.IPv4, a.IPv6
	w.ensure(w.hostIs(w.host()), w.networkIs(one), w.networkIs(two), w.endpointIs(a), w.endpointIs(b),
		w.portsAre(a.ID, publication(a, model.TCP, 8080)), w.portsAre(b.ID, publication(b, model.TCP, 8081)))
	leads := func(slot uint16) {
		t.Helper()
		got := w.snapshot()
		equal(t, "subnets", got.Subnets, map[netip.Prefix]uint16{one.IPv4.Prefix: slot, one.IPv6.Prefix: slot})
		for _, g := range []netip.Addr{one.IPv4.Gateway, one.IPv6.Gateway} {
			equal(t, "gateway "+g.String(), got.Addresses[g], uint32(slot)+1)
		}
	}
	finds := func(network, want uint16) {
		t.Helper()
		for _, addr := range []netip.Addr{a.IPv4, a.IPv6} {
			if slot, found, err := w.dp.endpoints.table.ByAddr(network, addr); slot != want || found != (want != 0) || err != nil {
				t.Errorf("%s in network %d: slot %d, found %t, want %d, %v", addr, network, slot, found, want, err)
			}
		}
	}
	leads(1)
	finds(1, 1)
	finds(2, 2)
	ports := w.snapshot().Ports
	equal(t, "8080 leads to", ports[publish.Key{Addr: netip.IPv4Unspecified(), Port: 8080, Proto: model.TCP}].Endpoint, 1)
	equal(t, "8081 leads to", ports[publish.Key{Addr: netip.IPv4Unspecified(), Port: 8081, Proto: model.TCP}].Endpoint, 2)
	w.ensure(w.networkIs(two), w.networkIs(one))
	leads(1)
	w.ensure(w.endpointGone(a.ID), func(ctx context.Context) error { return w.dp.DeleteNetwork(ctx, one.ID) })
	leads(2)
	finds(1, 0)
	finds(2, 2)
}

// An endpoint whose device went while it was ensured takes nothing with it: whoever has the
// address next is in nobody's way, though nobody deletes what was refused.
func TestRefusedEndpointLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.ensure(w.networkIs(w.network()))
	before := w.snapshot()
	gone, next := w.endpoint(1), w.endpoint(1)
	w.veth("alone", false)
	gone.ID, gone.HostIf, gone.HostIndex = "gone", "alone", w.devices["alone"]
	w.do(func() error {
		if err := w.dp.EnsureEndpoint(context.Background(), gone); err == nil {
			t.Error("a device that is no port of a bridge was taken")
		}
		return nil
	})
	if free, slots := w.dp.endpoints.count(), len(w.dp.endpoints.bySlot); free != 0 || slots != 0 {
		t.Errorf("%d endpoints, %d slots in use", free, slots)
	}
	equal(t, "tables after the refusal", w.snapshot(), before)
	w.ensure(w.endpointIs(next))
}

// What an earlier process left is no less there because it can't be ensured now.
func TestRefusedEndpointGoesBack(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint(1)
	w.ensure(w.networkIs(w.network()), w.endpointIs(e))
	w.restart()
	w.ensure(w.networkIs(w.network()))
	w.do(func() error {
		device := netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: e.HostIndex}}
		if err := netlink.LinkSetNoMaster(&device); err != nil {
			return err
		}
		if err := w.dp.EnsureEndpoint(context.Background(), e); err == nil {
			t.Error("a device that is no port of a bridge was taken")
		}
		if orphans := w.dp.endpoints.orphans; len(orphans) != 1 {
			t.Errorf("orphans: %v", orphans)
		}
		return netlink.LinkSetMasterByIndex(&device, w.bridgeIndex)
	})
	w.ensure(w.endpointIs(e))
	if n := w.dp.endpoints.count(); n != 1 {
		t.Errorf("%d endpoints", n)
	}
}

// Several publications share a bit of the bitmap; it goes with the last.
func TestBitmapCounts(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint(1)
	one, two := publication(e, model.TCP, 8080), publication(e, model.TCP, 8080)
	one.HostIP = netip.MustParseAddr("192.0.2.10")
	two.HostIP, two.HostOnly = netip.IPv6Unspecified(), true
	routed := datapath.Port{PublishedPort: model.PublishedPort{Port: model.Port{Num: 443, Proto: model.TCP}}, Target: e.IPv6, Routed: true}
	w.ensure(w.networkIs(w.network()), w.endpointIs(e))
	bits := []model.Port{{Num: 8080, Proto: model.TCP}}
	for _, step := range []struct {
		ports []datapath.Port
		bits  []model.Port
	}{
		{[]datapath.Port{one, two, routed}, bits},
		{[]datapath.Port{two, routed}, bits},
		{[]datapath.Port{one}, bits},
		{[]datapath.Port{routed}, nil},
		{nil, nil},
	} {
		w.ensure(w.portsAre(e.ID, step.ports...))
		got := w.snapshot()
		equal(t, "bits", got.Bits, step.bits)
		if len(got.Ports) != len(step.ports) {
			t.Errorf("ports %v, want %d", got.Ports, len(step.ports))
		}
	}
}

// Trusted devices are found by their names whenever they come, and published ports
// get an entry for direct access that goes with them.
func TestTrustedInterfaces(t *testing.T) {
	w := newWorld(t)
	e, n := w.endpoint(1), w.network()
	n.Trusted = []string{"up0", "wg0"}
	trusts := func() map[network.Trust]bool {
		t.Helper()
		all, err := w.dp.networks.table.Trusts()
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	notes := func() (notes []string) {
		w.do(func() error {
			s, err := w.dp.Status(context.Background())
			notes = s.Notes
			return err
		})
		return notes
	}
	w.ensure(w.networkIs(n), w.endpointIs(e), w.portsAre(e.ID, publication(e, model.TCP, 8080), publication(e, model.TCP, 8081)))
	equal(t, "before the uplink is known", len(trusts()), 0)
	w.ensure(w.hostIs(w.host()))
	want := map[network.Trust]bool{{Slot: w.dp.networks.byID[n.ID].slot, Index: w.uplink}: true}
	equal(t, "trusts", trusts(), want)
	if text := strings.Join(notes(), "\n"); !strings.Contains(text, "Network net1 trusts wg0,") {
		t.Errorf("notes are %s", text)
	}
	equal(t, "ports", len(w.snapshot().Ports), 3)
	equal(t, "bits", len(w.snapshot().Bits), 2)
	w.restart()
	w.ensure(w.hostIs(w.host()))
	equal(t, "trusts after a restart", trusts(), want)
	w.ensure(w.networkIs(n), w.endpointIs(e), w.portsAre(e.ID, publication(e, model.TCP, 8080)))
	equal(t, "ports after a restart", len(w.snapshot().Ports), 2)
	renamed := w.host()
	renamed.Uplinks[0].Name = "up1"
	w.ensure(w.hostIs(renamed))
	equal(t, "trusts after the name went", len(trusts()), 0)
	n.Trusted = nil
	w.ensure(w.hostIs(w.host()), w.networkIs(n), w.portsAre(e.ID, publication(e, model.TCP, 8080)))
	equal(t, "trusts without the option", len(trusts()), 0)
	equal(t, "ports without the option", len(w.snapshot().Ports), 1)
}

func TestBridgePortIsConfigured(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint(1)
	w.ensure(w.networkIs(w.network()), w.endpointIs(e))
	w.do(func() error {
		info, err := netlink.LinkGetProtinfo(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: e.HostIndex}})
		if err != nil {
			return err
		}
		if info.Learning || info.Flood {
			t.Errorf("port: %s", &info)
		}
		entries, err := nl.NeighList(nil, 0, unix.AF_BRIDGE)
		if err != nil {
			return err
		}
		static := 0
		for _, n := range entries {
			if n.LinkIndex == e.HostIndex && n.HardwareAddr.String() == e.MAC.String() && n.State&netlink.NUD_NOARP != 0 {
				static++
			}
		}
		if static == 0 { // one more per VLAN, where the kernel has them
			t.Errorf("forwarding entries: %v", entries)
		}
		return nil
	})
}

// Uplinks that are none any more lose their programs, and foreign devices never
// had any.
func TestUplinksChange(t *testing.T) {
	w := newWorld(t)
	other := w.veth("up1", false)
	w.ensure(w.hostIs(w.host()))
	h := w.host()
	h.Uplinks[0].Name, h.Uplinks[0].Index = "up1", other
	before, err := w.dp.addresses.table.RouteGeneration()
	if err != nil {
		t.Fatal(err)
	}
	w.ensure(w.hostIs(h))
	after, err := w.dp.addresses.table.RouteGeneration()
	if err != nil || after == before {
		t.Errorf("route generation %d, then %d, %v", before, after, err)
	}
	var on []string
	for _, a := range w.attached() {
		if a.Device != "cgroup" {
			on = append(on, a.Device+" "+a.Program)
		}
	}
	equal(t, "attachments", on, []string{"up1 from_uplink", "up1 to_uplink"})
}

// An endpoint that is gone keeps its programs for as long as its device exists,
// and no pin is left when that goes, though nobody calls again.
func TestProgramsGoWithTheDevice(t *testing.T) {
	w := newWorld(t)
	e := w.endpoint(1)
	w.ensure(w.networkIs(w.network()), w.endpointIs(e), w.endpointGone(e.ID))
	guarded := 0
	for _, a := range w.attached() {
		if a.Device == "veth1" {
			guarded++
		}
	}
	if guarded != 2 {
		t.Errorf("%d programs guard the device without an endpoint, want 2", guarded)
	}
	w.remove("veth1")
	if err := w.dp.programs.sweepPins(); err != nil {
		t.Fatal(err)
	}
	pins, err := filepath.Glob(filepath.Join(w.cfg.BPFFS, "links", "[0-9]*"))
	if err != nil || len(pins) != 0 {
		t.Errorf("pins are left: %v, %v", pins, err)
	}
}

func hasTCX(l *loader.Loader) bool {
	return slices.ContainsFunc(l.Features(), func(r loader.Result) bool { return r.Name == "tcx" && r.Available() })
}

// A device that went to another namespace, instead of away, is guarded there.
func TestProgramsStayOnAMovedDevice(t *testing.T) {
	w := newWorld(t)
	if !hasTCX(w.dp.loader) {
		t.Skip("filters go with their qdisc when a device is moved, and without tcx they stay filters")
	}
	e := w.endpoint(1)
	elsewhere := filepath.Join(w.cfg.RunDir, "elsewhere")
	if err := netns.Create(elsewhere); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Delete(elsewhere); err != nil {
			t.Error(err)
		}
	})
	there, err := os.Open(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	w.ensure(w.networkIs(w.network()), w.endpointIs(e))
	w.do(func() error { return w.dp.programs.settle(e.HostIndex) })
	w.do(func() error {
		return netlink.LinkSetNsFd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: e.HostIndex}}, int(there.Fd()))
	})
	w.ensure(w.endpointGone(e.ID))
	guarded := 0
	for _, a := range w.attached() {
		if a.Program == string(loader.FromContainer) || a.Program == string(loader.ToContainer) {
			guarded++
		}
	}
	if guarded != 2 {
		t.Errorf("%d programs guard the device, want 2", guarded)
	}
}
