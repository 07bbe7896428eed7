// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"slices"
	"time"

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

// wakeUp makes tend look now; it doesn't wait for it.
func (e *Engine) wakeUp() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// tendDevices compares the devices that are there with those that should be:
// a bridge or an interface that somebody deleted is made again, one that somebody set
// down is set up, and a bridge gets back the addresses that it lost.
func (e *Engine) tendDevices(ctx context.Context) {
	// First what should be there, then what is: a device that is made between
	// the two looks would seem to be lost otherwise.
	bridges, attached := e.facts.madeBridges(), e.facts.attached()
	owned, err := e.links.Owned()
	if err != nil {
		e.log.Error("devices not listed", "err", err)
		return
	}
	addresses, err := e.links.Addresses()
	if err != nil {
		e.log.Error("addresses not listed", "err", err)
		return
	}
	for _, d := range owned {
		if n := e.state.network(d.Owner); n != nil && bridges[d.Owner] == d.Index && d.Up && link.BridgeOf(n).Has(addresses[d.Index]) {
			delete(bridges, d.Owner)
		}
		if attached[d.Owner] == d.Index && d.Master != 0 && d.Up {
			delete(attached, d.Owner)
		}
	}
	for id := range bridges {
		if n := e.state.network(id); n != nil {
			e.log.Info("bridge of a network is put right", "network", n.Name, "device", n.Bridge.Name)
			e.mendNetwork(ctx, n)
		}
	}
	for _, sb := range e.state.bySeniority() {
		if sb.State.Status == model.StatusRunning && sb.Mode == model.ModeNetworks {
			e.tendSandbox(ctx, sb, attached)
		}
	}
}

// tendSandbox mends a sandbox: one whose namespace is gone has ended, one that
// lost interfaces (those of missing) gets them again.
func (e *Engine) tendSandbox(ctx context.Context, sb *model.Sandbox, missing map[string]int) {
	lost := slices.ContainsFunc(e.state.attachments(sb.ID), func(a attachment) bool {
		_, is := missing[a.ep.ID]
		return is
	})
	if lost || sb.Adopted && !e.facts.namespace(sb.ID).Is(sb.Netns) {
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
