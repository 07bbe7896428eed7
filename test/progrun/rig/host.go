// SPDX-License-Identifier: Apache-2.0

package rig

import (
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/test/progrun/testrun"
	"github.com/fairway-project/fairway/userspace/model"
)

// Host is a loaded datapath in its world.
type Host struct {
	*testrun.Host
	// altered says that the namespace isn't any more what Restore leaves it as.
	altered bool
}

// New returns a host in the standard world until the end of the test. To load programs
// takes a second, so it is one that an earlier test has left, if there is any with the same
// options; hosts that nobody has any more end with the process.
func New(tb testing.TB, opts Options) *Host {
	tb.Helper()
	loaded, err := idle.take(opts)
	check(tb, err)
	h := &Host{Host: loaded}
	tb.Cleanup(func() {
		if err := idle.give(opts, h); err != nil {
			tb.Errorf("rig: %v", err)
		}
	})
	return h
}

// Threads starts n more threads in the namespace; the end of the test ends them.
func (h *Host) Threads(tb testing.TB, n int) []func(func()) {
	tb.Helper()
	var all []func(func())
	for range n {
		t, err := h.Thread()
		check(tb, err)
		tb.Cleanup(func() {
			if err := t.Close(); err != nil {
				tb.Errorf("rig: %v", err)
			}
		})
		all = append(all, t.Do)
	}
	return all
}

// Run runs it and fails the test if the kernel won't.
func (h *Host) Run(tb testing.TB, r Run) Result {
	tb.Helper()
	res, err := h.Host.Run(r)
	check(tb, err)
	return res
}

// Tap sees what comes in on a device, until the end of the test.
func (h *Host) Tap(tb testing.TB, device string) *testrun.Tap {
	tb.Helper()
	tap, err := h.Host.Tap(device)
	check(tb, err)
	tb.Cleanup(func() {
		if err := tap.Close(); err != nil {
			tb.Errorf("rig: %v", err)
		}
	})
	return tap
}

// Restore empties every map and fills in the standard world.
func (h *Host) Restore(tb testing.TB) {
	tb.Helper()
	check(tb, h.Host.Restore())
}

// PutNetwork fills in a network with these flags, replacing what it was.
func (h *Host) PutNetwork(tb testing.TB, n Network, flags network.Flags) {
	tb.Helper()
	check(tb, h.Host.PutNetwork(n, flags))
}

// PutNetworkSNAT is PutNetwork with addresses to masquerade with.
func (h *Host) PutNetworkSNAT(tb testing.TB, n Network, flags network.Flags, snat4, snat6 netip.Addr) {
	tb.Helper()
	check(tb, h.Host.PutNetworkSNAT(n, flags, snat4, snat6))
}

// Trust lets what comes in on a device reach the network's ports directly.
func (h *Host) Trust(tb testing.TB, n Network, device string) {
	tb.Helper()
	check(tb, h.Host.Trust(n, device))
}

// PutEndpoint makes e ready in its slot, as the owner with this generation.
func (h *Host) PutEndpoint(tb testing.TB, e Endpoint, generation uint16) {
	tb.Helper()
	check(tb, h.Host.PutEndpoint(e, generation))
}

// PutRelay fills in the endpoint that answers for what the host passes on by way of a network.
func (h *Host) PutRelay(tb testing.TB, n Network) {
	tb.Helper()
	check(tb, h.Host.PutRelay(n))
}

// Unready is what happens first to an endpoint that goes.
func (h *Host) Unready(tb testing.TB, e Endpoint) {
	tb.Helper()
	check(tb, h.Host.Unready(e))
}

// EarlyDropped counts the connections of a family that were given up for others.
func (h *Host) EarlyDropped(tb testing.TB, v6 bool) uint64 {
	tb.Helper()
	n4, n6, err := h.Flows.EarlyDropped()
	check(tb, err)
	if v6 {
		return n6
	}
	return n4
}

// TakesFrames lets XDP send frames to an endpoint.
func (h *Host) TakesFrames(tb testing.TB, e Endpoint) {
	tb.Helper()
	check(tb, h.Host.TakesFrames(e))
}

// PutXDP makes an uplink known to the XDP programs.
func (h *Host) PutXDP(tb testing.TB, u Uplink) {
	tb.Helper()
	check(tb, h.Host.PutXDP(u))
}

// PutUplink fills in an uplink with its addresses.
func (h *Host) PutUplink(tb testing.TB, u Uplink) {
	tb.Helper()
	check(tb, h.Host.PutUplink(u))
}

// Publish opens a port of the host, on addr or a wildcard, to e's port.
func (h *Host) Publish(tb testing.TB, addr netip.Addr, port uint16, proto model.Proto, e Endpoint, target uint16) {
	tb.Helper()
	check(tb, h.Host.Publish(addr, port, proto, e, target))
}

// PublishEntry is Publish with everything said.
func (h *Host) PublishEntry(tb testing.TB, k publish.Key, e publish.Entry) {
	tb.Helper()
	check(tb, h.Host.PublishEntry(k, e))
}

// PutPool fills a pool's slot; see testrun.Host.PutPool.
func (h *Host) PutPool(tb testing.TB, slot uint16, s service.Settings, backends ...service.Backend) {
	tb.Helper()
	check(tb, h.Host.PutPool(slot, s, backends...))
}

// Front has an address and port lead to a pool; see testrun.Host.Front.
func (h *Host) Front(tb testing.TB, addr netip.Addr, port uint16, proto model.Proto, network, slot uint16) {
	tb.Helper()
	check(tb, h.Host.Front(addr, port, proto, network, slot))
}

// Unpublish closes a port.
func (h *Host) Unpublish(tb testing.TB, k publish.Key) {
	tb.Helper()
	check(tb, h.Host.Unpublish(k))
}

// Age makes every half of every flow look as if its last packet had been this
// many jiffies earlier.
func (h *Host) Age(tb testing.TB, jiffies uint32) {
	tb.Helper()
	check(tb, h.Host.Age(jiffies))
}

// AgeHeld makes it look as if the host had last used what it holds of SCTP and of
// protocols without ports so many jiffies earlier.
func (h *Host) AgeHeld(tb testing.TB, jiffies uint32) {
	tb.Helper()
	check(tb, h.Host.AgeHeld(jiffies))
}

// HearOthers makes it look as if the host had heard, when it heard something last, tuples that
// nobody uses, one for each place.
func (h *Host) HearOthers(tb testing.TB) {
	tb.Helper()
	check(tb, h.Host.HearOthers())
}

// Route leads dst, a prefix, out of another uplink, or deletes the route if via is invalid.
func (h *Host) Route(tb testing.TB, dst string, u Uplink, via netip.Addr) {
	tb.Helper()
	h.altered = true
	check(tb, h.Host.Route(dst, u, via))
}

// Refuse makes the route to dst one that the stack answers with an ICMP error.
func (h *Host) Refuse(tb testing.TB, dst string) {
	tb.Helper()
	h.altered = true
	check(tb, h.Host.Refuse(dst))
}

// Neighbour makes it known for good that addr is behind an uplink with this MAC.
func (h *Host) Neighbour(tb testing.TB, u Uplink, addr netip.Addr, mac model.MAC) {
	tb.Helper()
	h.altered = true
	check(tb, h.Host.Neighbour(u, addr, mac))
}

// NoNeighbour makes nothing known of addr.
func (h *Host) NoNeighbour(tb testing.TB, u Uplink, addr netip.Addr) {
	tb.Helper()
	h.altered = true
	check(tb, h.Host.NoNeighbour(u, addr))
}

// ForgetNeighbours empties what the programs remember of them.
func (h *Host) ForgetNeighbours(tb testing.TB) {
	tb.Helper()
	check(tb, h.Host.ForgetNeighbours())
}

// ChangeNextHops changes slots of the table of next hops.
func (h *Host) ChangeNextHops(tb testing.TB, change func(slot int, hop *object.DatapathNexthop)) {
	tb.Helper()
	check(tb, h.Host.ChangeNextHops(change))
}

// DeleteAddress takes an address from a device.
func (h *Host) DeleteAddress(tb testing.TB, device string, p netip.Prefix) {
	tb.Helper()
	h.altered = true
	check(tb, h.Host.DeleteAddress(device, p))
}

// AddAddress gives a device one more address.
func (h *Host) AddAddress(tb testing.TB, device string, p netip.Prefix) {
	tb.Helper()
	h.altered = true
	check(tb, h.Host.AddAddress(device, p))
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatalf("rig: %v", err)
	}
}
