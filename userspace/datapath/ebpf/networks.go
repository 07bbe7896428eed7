// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/maps/host"
	"github.com/fairway-project/fairway/maps/network"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// networks have slots, to which subnets lead, and devices that they trust.
type networks struct {
	table *network.Table
	slots *slots
	// byID are those that this process has ensured, orphans the slots in use whose ID
	// isn't known (yet): an earlier process filled them.
	byID    map[string]*networkState
	orphans map[uint16]network.Network
	// subnets and trusts are the maps' content.
	subnets map[netip.Prefix]uint16
	trusts  map[network.Trust]bool
}

type networkState struct {
	slot uint16
	// subnets are its own, gateways its addresses on the host.
	subnets  []netip.Prefix
	gateways []netip.Addr
	// everyones says that every network reaches the gateways: those of the default
	// network are what host-gateway stands for.
	everyones bool
	// trusted are the names of devices that may reach published ports directly.
	trusted []string
	name    string
	// bridge is the index of the network's device; 0 until its first EnsureNetwork
	// succeeded.
	bridge     int
	bridgeName string
}

func adoptNetworks(t *network.Table) (*networks, error) {
	n := &networks{table: t, slots: newSlots("network", network.MaxSlots), byID: make(map[string]*networkState)}
	var err error
	if n.orphans, err = t.All(); err != nil {
		return nil, err
	}
	for slot := range n.orphans {
		n.slots.take(slot)
	}
	if n.subnets, err = t.Subnets(); err != nil {
		return nil, err
	}
	n.trusts, err = t.Trusts()
	return n, err
}

// ensure writes all of a network but who is trusted and its gateways' addresses.
func (n *networks) ensure(want datapath.Network) error {
	st, err := n.state(want)
	if err != nil {
		return err
	}
	if err := n.table.Put(st.slot, networkValue(want)); err != nil {
		return err
	}
	st.subnets = subnets(want)
	if err := n.syncSubnets(st.slot, st.subnets); err != nil {
		return err
	}
	st.gateways = gateways(want)
	st.everyones = want.HostGateway
	st.trusted = trusted(want)
	st.name = want.Name
	st.bridge, st.bridgeName = want.Device.Index, want.Device.Name
	return nil
}

// state returns the network's slot: the one it has, the one that an earlier process
// gave the same bridge, or a new one.
func (n *networks) state(want datapath.Network) (*networkState, error) {
	if st, ok := n.byID[want.ID]; ok {
		return st, nil
	}
	for slot, orphan := range n.orphans {
		if orphan.BridgeIndex == want.Device.Index {
			delete(n.orphans, slot)
			n.byID[want.ID] = &networkState{slot: slot, name: want.Name}
			return n.byID[want.ID], nil
		}
	}
	slot, err := n.slots.next()
	if err != nil {
		return nil, fmt.Errorf("network %s: %w", want.Name, err)
	}
	n.byID[want.ID] = &networkState{slot: slot, name: want.Name}
	return n.byID[want.ID], nil
}

func (n *networks) delete(id string) error {
	slot := n.byID[id].slot
	if err := n.dropSlot(slot); err != nil {
		return err
	}
	delete(n.byID, id)
	n.slots.release(slot)
	return nil
}

// prune removes the networks that aren't wanted, those of an earlier process that nobody
// ensured and spare says no to, and subnets that a crash left without a network.
func (n *networks) prune(wanted func(id string) bool, spare func(device int) bool) error {
	var errs []error
	for id := range n.byID {
		if !wanted(id) {
			errs = append(errs, n.delete(id))
		}
	}
	for slot, orphan := range n.orphans {
		if spare(orphan.BridgeIndex) {
			continue
		}
		if err := n.dropSlot(slot); err != nil {
			errs = append(errs, err)
			continue
		}
		n.slots.release(slot)
		delete(n.orphans, slot)
	}
	for _, slot := range n.subnets {
		if _, orphan := n.orphans[slot]; !orphan && n.of(slot) == nil {
			errs = append(errs, n.syncSubnets(slot, nil))
		}
	}
	return errors.Join(errs...)
}

// dropSlot takes the subnets away before the slot, so that none leads to an empty one.
func (n *networks) dropSlot(slot uint16) error {
	return errors.Join(n.syncSubnets(slot, nil), n.table.Put(slot, network.Network{}))
}

// syncSubnets makes the map's subnets of a slot those in want. Where two networks have the
// same, the host's routes lead to one of them: that is the one which had it first.
func (n *networks) syncSubnets(slot uint16, want []netip.Prefix) error {
	keep := make(map[netip.Prefix]bool)
	for _, p := range want {
		keep[p] = true
		if have, ok := n.subnets[p]; ok && (have == slot || n.holds(have, p)) {
			continue
		}
		if err := n.table.PutSubnet(p, slot); err != nil {
			return err
		}
		n.subnets[p] = slot
	}
	for p, owner := range n.subnets {
		if owner != slot || keep[p] {
			continue
		}
		if heir, ok := n.another(slot, p); ok {
			if err := n.table.PutSubnet(p, heir); err != nil {
				return err
			}
			n.subnets[p] = heir
			continue
		}
		if err := n.table.DeleteSubnet(p); err != nil {
			return err
		}
		delete(n.subnets, p)
	}
	return nil
}

// holds reports whether the network that is known to have the slot has the subnet.
func (n *networks) holds(slot uint16, p netip.Prefix) bool {
	st := n.of(slot)
	return st != nil && slices.Contains(st.subnets, p)
}

// another returns a network beside that in slot which has the subnet, too.
func (n *networks) another(slot uint16, p netip.Prefix) (heir uint16, ok bool) {
	for _, st := range n.byID {
		if st.slot != slot && slices.Contains(st.subnets, p) {
			return st.slot, true
		}
	}
	return 0, false
}

// leadsTo reports whether the map's subnets lead an address to the slot.
func (n *networks) leadsTo(slot uint16, a netip.Addr) bool {
	for p, owner := range n.subnets {
		if owner == slot && p.Contains(a) {
			return true
		}
	}
	return false
}

// of returns the network that is known to have the slot, or nil.
func (n *networks) of(slot uint16) *networkState {
	for _, st := range n.byID {
		if st.slot == slot {
			return st
		}
	}
	return nil
}

// isBridge reports whether the device is the bridge of a network, of an earlier
// process too. Such a device is no uplink, though its name may not say so.
func (n *networks) isBridge(index int) bool {
	for _, st := range n.byID {
		if st.bridge == index {
			return true
		}
	}
	for _, orphan := range n.orphans {
		if orphan.BridgeIndex == index {
			return true
		}
	}
	return false
}

// gateways returns what the networks have of the host's addresses: whose they are.
// Those of an earlier process's networks work until they are ensured or pruned, and
// keep what is said of them: known returns that.
func (n *networks) gateways(known map[netip.Addr]uint32) map[netip.Addr]uint32 {
	all := make(map[netip.Addr]uint32)
	for _, st := range n.byID {
		for _, g := range st.gateways {
			if _, taken := all[g]; taken && !n.leadsTo(st.slot, g) {
				continue
			}
			all[g] = host.Gateway(st.slot)
			if st.everyones {
				all[g] = host.NoNetwork
			}
		}
	}
	for slot, orphan := range n.orphans {
		for _, g := range []netip.Addr{orphan.Gateway4, orphan.Gateway6} {
			if !g.IsValid() {
				continue
			}
			all[g] = host.Gateway(slot)
			if have, ok := known[g]; ok {
				all[g] = have
			}
		}
	}
	return all
}

// syncTrusted makes the map of trusted devices what the networks'
// trusted_host_interfaces say, as far as there are such devices: they may come
// later, or come back with another index. uplinks are the indexes by name.
func (n *networks) syncTrusted(uplinks map[string]int) error {
	want := make(map[network.Trust]bool)
	for _, st := range n.byID {
		for _, name := range st.trusted {
			if index, ok := n.entrance(name, uplinks); ok {
				want[network.Trust{Slot: st.slot, Index: index}] = true
			}
		}
	}
	var errs []error
	for k := range n.trusts {
		// While networks of an earlier process wait to be ensured, what it knew stays.
		if want[k] || len(n.orphans) > 0 {
			continue
		}
		if err := n.table.DeleteTrust(k); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(n.trusts, k)
	}
	for k := range want {
		if n.trusts[k] {
			continue
		}
		if err := n.table.PutTrust(k); err != nil {
			errs = append(errs, err)
			continue
		}
		n.trusts[k] = true
	}
	return errors.Join(errs...)
}

// entrance returns the device through which packets for a network may come: an
// uplink, or the bridge of another network.
func (n *networks) entrance(name string, uplinks map[string]int) (index int, ok bool) {
	if index, ok = uplinks[name]; ok {
		return index, true
	}
	for _, st := range n.byID {
		if st.bridgeName == name && st.bridge != 0 {
			return st.bridge, true
		}
	}
	return 0, false
}

// untrusted returns the names that a network trusts in vain: no device of that
// name is there, or none that the programs can serve.
func (n *networks) untrusted(st *networkState, uplinks map[string]int) []string {
	return slices.DeleteFunc(slices.Clone(st.trusted), func(name string) bool {
		_, ok := n.entrance(name, uplinks)
		return ok
	})
}
