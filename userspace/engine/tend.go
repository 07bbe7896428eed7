// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

// tendPeriod bounds the time that passes until a lost interface or namespace is
// noticed where no event tells of it.
const tendPeriod = 3 * time.Second

// tend looks after what others may break: interfaces and namespaces that were
// deleted, pins.
func (e *Engine) tend() {
	// What was counted before this daemon isn't recent.
	e.sampleDrops(e.running)
	ticker := time.NewTicker(tendPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-e.running.Done():
			return
		case <-ticker.C:
			e.keepPins()
		case <-e.wake:
		}
		e.tendDevices(e.running)
		e.sampleDrops(e.running)
	}
}

func (e *Engine) keepPins() {
	e.hostLook.Lock()
	defer e.hostLook.Unlock()
	if e.KeepPins == nil || e.uninstalled {
		return
	}
	e.owner.Report("pinned objects", e.KeepPins())
}

// tendDevices compares what is there with what should be: a device that somebody deleted
// is made again, one that somebody set down is set up, and gets back its addresses.
func (e *Engine) tendDevices(ctx context.Context) {
	// First what should be there, then what is: a device that is made between
	// the two looks would seem to be lost otherwise.
	made, attached, placed := e.facts.made.all(), e.facts.attached.all(), e.vips.there()
	seen, err := e.look()
	if err != nil {
		e.log.Error("devices not listed", "err", err)
		return
	}
	for id, dev := range made {
		n := e.state.network(id)
		if n == nil {
			continue
		}
		if t := e.tending(n); t != nil && !(t.NetworkWhole(n, dev, seen) && e.addressesWhole(n, dev, placed, seen)) {
			e.log.Info("device of a network is put right", "network", n.Name, "device", n.Device())
			e.mendNetwork(ctx, n)
		}
	}
	for _, sb := range e.state.bySeniority() {
		if sb.State.Status == model.StatusRunning && sb.Mode == model.ModeNetworks {
			e.tendSandbox(ctx, sb, attached, seen)
		}
	}
}

// look lists what there is on the host.
func (e *Engine) look() (driver.Seen, error) {
	owned, err := e.links.Owned()
	if err != nil {
		return driver.Seen{}, err
	}
	addresses, err := e.links.Addresses()
	seen := driver.Seen{Devices: make(map[string]link.Device, len(owned)), Addresses: addresses}
	for _, d := range owned {
		seen.Devices[d.Owner] = d
	}
	return seen, err
}

// tending returns the network's driver if it can tell what is whole, else nil.
func (e *Engine) tending(n *model.Network) driver.Tending {
	d, err := e.Drivers.Find(n.Driver)
	if err != nil {
		return nil
	}
	t, _ := d.(driver.Tending)
	return t
}

// tendSandbox mends a sandbox: one whose namespace is gone has ended, one that
// lost interfaces gets them again. attached are the devices that there should be.
func (e *Engine) tendSandbox(ctx context.Context, sb *model.Sandbox, attached map[string]int, seen driver.Seen) {
	lost := slices.ContainsFunc(e.state.attachments(sb.ID), func(a attachment) bool {
		index, should := attached[a.ep.ID]
		t := e.tending(a.net)
		return should && t != nil && !t.EndpointWhole(a.ep, index, seen)
	})
	if lost || sb.Adopted && !e.facts.namespaces.get(sb.ID).Is(sb.Netns) {
		e.mend(ctx, sb)
	}
}

func (e *Engine) sampleDrops(ctx context.Context) {
	if !e.drops.due(time.Now()) {
		return
	}
	stats, err := e.datapath.Stats(ctx)
	if err != nil {
		e.log.Debug("counters not read", "err", err)
		return
	}
	e.drops.add(time.Now(), stats.Drops)
}
