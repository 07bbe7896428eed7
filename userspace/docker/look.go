// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"time"

	"github.com/fairway-project/fairway/userspace/docker/device"
	"github.com/fairway-project/fairway/userspace/pace"
)

// Pauses between two looks while a veth's endpoint isn't found.
const (
	minLook = 5 * time.Millisecond
	maxLook = time.Second
)

// lookAgain looks at the devices: new ones of Docker's are guarded at once, and
// whatever can be said of them is applied.
func (w *Watcher) lookAgain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look(context.Background())
}

// look needs the lock.
func (w *Watcher) look(ctx context.Context) {
	if w.Wanted.Stopped() {
		return
	}
	w.looks++
	w.stale = false
	now, err := device.Look()
	w.owner.Report("devices", err)
	if err != nil {
		w.stale = true
		w.retry.Raise()
		return
	}
	w.devices, w.onBridge = now, nil
	for index := range w.since {
		if _, there := now.Veths[index]; !there {
			delete(w.since, index)
		}
	}
	for _, v := range now.Veths {
		w.meet(v)
	}
	w.follows(ctx)
}

// follows applies what is known of the devices. It needs the lock.
func (w *Watcher) follows(ctx context.Context) {
	w.pass(ctx)
	w.askOfStrangers()
}

// lookIfStale looks at all devices only where what changed isn't known from the kernel's
// reports, which tell of veths: there may be hundreds. retry says to ask for those whose
// endpoint isn't found, since the kernel doesn't report where their other ends are.
func (w *Watcher) lookIfStale(retry bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx := context.Background()
	if w.stale {
		w.look(ctx)
		return
	}
	if w.Wanted.Stopped() {
		return
	}
	if retry && w.view.complete && !w.lookAtStrangers() {
		if waiting, bound := w.bind(); !bound {
			// Whatever would be said has been said.
			if waiting {
				w.retry.Raise()
			}
			if w.services.waits {
				w.tellServices(ctx)
			}
			w.askOfStrangers()
			return
		}
	}
	w.follows(ctx)
}

// lookAtStrangers looks at the devices that have no endpoint. It reports whether one is gone,
// or is another port.
func (w *Watcher) lookAtStrangers() (changed bool) {
	taken := w.taken()
	for index := range w.devices.Veths {
		if taken[index] {
			continue
		}
		v, is, err := device.At(index)
		switch {
		case err != nil:
			w.stale = true
			w.retry.Raise()
		case is:
			before := w.devices.Veths[index]
			changed = changed || before.Bridge != v.Bridge || before.Name != v.Name
			w.devices.Veths[index] = v
		default:
			changed = true
			w.forgetDevice(index)
		}
	}
	return changed
}

func (w *Watcher) forgetDevice(index int) {
	delete(w.devices.Veths, index)
	delete(w.since, index)
}

// meet asks the engine whose a device is that wasn't seen before.
func (w *Watcher) meet(v device.Veth) {
	if _, known := w.since[v.Index]; known {
		return
	}
	w.clock++
	w.since[v.Index] = appearance{w.clock, time.Now()}
	if id := w.networkOn(v.Bridge); id != "" {
		w.todo.network(id)
	} else {
		w.todo.everything()
	}
}

// appeared guards a new device without looking at all the others, of which there may
// be hundreds.
func (w *Watcher) appeared(v device.Veth) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Wanted.Stopped() {
		return
	}
	if !w.devices.HasBridge(v.Bridge) {
		w.look(context.Background())
		return
	}
	if known, is := w.devices.Veths[v.Index]; is && known == v {
		w.bindReported(v)
		return
	}
	w.devices.Veths[v.Index] = v
	w.meet(v)
	if w.view.complete && w.networkOn(v.Bridge) != "" {
		w.owner.Guard(context.Background(), v.Name, v.Index)
	}
	w.bindReported(v)
	w.changes.Raise()
}

// bindReported gives a device that the kernel has just reported its endpoint. The last report
// of a new device is that it has a carrier: that its other end is up, with its addresses, in a
// container whose process waits for that. Engines up to 26 start the proxies before.
func (w *Watcher) bindReported(v device.Veth) {
	id := w.networkOn(v.Bridge)
	if !w.view.complete || id == "" || w.taken()[v.Index] || !w.unbound(id) {
		return
	}
	if w.endpointBehind(id, v) != "" {
		w.pass(context.Background())
	}
}

// left takes note of a device that is gone.
func (w *Watcher) left(index int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.devices.Veths[index]; known {
		w.forgetDevice(index)
		w.changes.Raise()
	}
}

// told takes note of a bridge that is another than it was. One that only has other ports isn't.
func (w *Watcher) told(name string, b device.Bridge) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.devices.Bridges[name]; known.Index != b.Index || known.MAC != b.MAC {
		w.stale = true
		w.changes.Raise()
	}
}

// changed takes note of a bridge that is gone, or of addresses, which matter on bridges.
func (w *Watcher) changed(index int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, port := w.devices.Veths[index]; !port {
		w.stale = true
		w.changes.Raise()
	}
}

// settle is how long changes are gathered before the devices are looked at. What
// waits for it is the end of devices and changes of bridges: new devices are guarded
// meanwhile, and endpoints are searched for when the engine has told of them.
const settle = 20 * time.Millisecond

// followChanges looks again after changes, once for all within settle.
func (w *Watcher) followChanges(ctx context.Context) {
	for w.changes.Await(ctx) {
		pace.Sleep(ctx, settle)
		w.changes.Clear()
		if ctx.Err() == nil {
			w.lookIfStale(false)
		}
	}
}

// How long an event is given to say whose a device is, and how long the engine is
// asked again and again if none does.
const (
	eventIsLate = 100 * time.Millisecond
	eventIsLost = 10 * time.Second
)

// askOfStrangers asks again for the networks of devices that nobody said anything
// about since they appeared. The event may be lost.
func (w *Watcher) askOfStrangers() {
	taken := w.taken()
	for index, v := range w.devices.Veths {
		id := w.networkOn(v.Bridge)
		age := time.Since(w.since[index].at)
		if id != "" && !taken[index] && age > eventIsLate && age < eventIsLost {
			w.todo.network(id)
		}
	}
}

// taken are the devices that have an endpoint.
func (w *Watcher) taken() map[int]bool {
	out := make(map[int]bool)
	for _, index := range w.bound {
		out[index] = true
	}
	return out
}

// networkOn returns the ID of the network whose bridge has this index. It is asked for each
// device, more than once each time that anything changes.
func (w *Watcher) networkOn(bridge int) string {
	if w.onBridge == nil {
		w.onBridge = make(map[int]string)
		for id, n := range w.view.networks {
			if b, ok := w.devices.Bridges[n.Device()]; ok {
				w.onBridge[b.Index] = id
			}
		}
	}
	return w.onBridge[bridge]
}

// bind finds the devices of endpoints that have none, and forgets those that went.
// It reports whether an endpoint and a device are left that may belong together, and whether
// any endpoint's device is another than before.
func (w *Watcher) bind() (waiting, changed bool) {
	taken := make(map[int]bool)
	listed := make(map[string]bool)
	for _, n := range w.view.networks {
		for _, e := range n.Endpoints {
			listed[e.ID] = true
		}
	}
	for id, index := range w.bound {
		if _, there := w.devices.Veths[index]; !there || !listed[id] {
			delete(w.bound, id)
			changed = true
			continue
		}
		taken[index] = true
	}
	for index, v := range w.devices.Veths {
		id := w.networkOn(v.Bridge)
		if id == "" || taken[index] {
			continue
		}
		endpoint := ""
		if w.view.asked[id] >= w.since[index].clock || w.unbound(id) {
			endpoint = w.endpointBehind(id, v)
		}
		switch {
		case endpoint == "":
			// One that an engine left behind is nobody's, however often it is looked at.
			waiting = waiting || time.Since(w.since[index].at) < eventIsLost || w.unbound(id)
		case w.view.asked[id] < w.since[index].clock:
			// The answer may be of another container with the same address.
			w.todo.network(id)
		default:
			w.bound[endpoint] = max(w.bound[endpoint], index)
			changed = true
		}
	}
	return waiting, changed
}

// endpointBehind returns the endpoint of the network that has the device's MAC address, ""
// for none. Of several such devices the newest has it: an engine that was killed leaves those
// of dead containers behind, and gives out their addresses again.
func (w *Watcher) endpointBehind(networkID string, v device.Veth) (endpointID string) {
	mac, err := v.PeerMAC()
	if err != nil {
		return ""
	}
	for _, e := range w.view.networks[networkID].Endpoints {
		if e.MAC == mac {
			return e.ID
		}
	}
	return ""
}

// retryLooks looks again, ever less often, while there is a reason to.
func (w *Watcher) retryLooks(ctx context.Context) {
	pause := minLook
	for {
		idle := time.NewTimer(maxLook)
		select {
		case <-ctx.Done():
			idle.Stop()
			return
		case <-idle.C:
			pause = minLook
			continue
		case <-w.retry:
			idle.Stop()
		}
		pace.Sleep(ctx, pause)
		pause = min(2*pause, maxLook)
		if ctx.Err() == nil {
			w.lookIfStale(true)
		}
	}
}
