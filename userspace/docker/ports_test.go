// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/docker/device"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// met waits until the engine was asked about the device that the world has.
func (w *world) met() {
	w.t.Helper()
	w.eventually("the engine was asked after the device appeared", func() bool {
		w.watcher.mu.Lock()
		defer w.watcher.mu.Unlock()
		return w.watcher.clock > 0 && w.watcher.view.asked[netID] == w.watcher.clock
	})
}

// holds has a proxy tell of a port, and demands that it is carried when the answer is there.
func (w *world) holds(endpoint string, port uint16, target string) {
	w.t.Helper()
	h := heldPort(port, target)
	_, err := w.watcher.HoldPort(w.t.Context(), 1, h)
	w.must(err)
	for _, p := range w.dp.portsNow()[endpoint] {
		if p.PublishedPort == h.PublishedPort {
			return
		}
	}
	w.t.Errorf("port %d isn't carried when its proxy is answered: %v", port, w.dp.portsNow())
}

// A proxy is started before the engine tells of the endpoint. It is answered when the
// port is carried, so that the container starts, and docker run returns, after that.
func TestProxyIsAnsweredWhenThePortIsCarried(t *testing.T) {
	t.Run("before any event", func(t *testing.T) {
		w := newWorld(t)
		w.veth("veth0000001")
		w.met()
		w.attach("e1")
		w.holds("e1", 8080, "10.3.0.2")
		w.engine.edit(func() { w.engine.asked = nil })
		w.holds("e1", 8081, "10.3.0.2")
		w.engine.edit(func() {
			if len(w.engine.asked) > 0 {
				t.Errorf("the second port asked for %v", w.engine.asked)
			}
		})
	})
	t.Run("before the device is reported", func(t *testing.T) {
		w := newWorld(t)
		w.eventually("the first listing", func() bool { return w.state.Owns(w.bridge.Name) })
		// What the kernel reports has to wait, and is not what the answer waits for.
		w.watcher.mu.Lock()
		w.attach("e1")
		w.veth("veth0000001")
		w.watcher.mu.Unlock()
		w.holds("e1", 8080, "10.3.0.2")
	})
	t.Run("before the network is known", func(t *testing.T) {
		w := newWorld(t)
		w.eventually("the first listing", func() bool { return w.state.Owns(w.bridge.Name) })
		n := w.engine.networks[netID]
		w.engine.edit(func() { delete(w.engine.networks, netID) })
		w.engine.tell("destroy", netID)
		w.eventually("the network is forgotten", func() bool { return !w.state.Owns(w.bridge.Name) })
		w.engine.edit(func() { w.engine.networks[netID] = n })
		w.attach("e1")
		// There is no process that could be found to hold the port.
		w.listed("e1", 8080)
		w.veth("veth0000001")
		w.holds("e1", 8080, "10.3.0.2")
	})
}

// The last port that a container's proxies give up is closed, though the container is listed with
// it for a moment. If it is so still when everything is listed again, it has no proxies now.
func TestLastPortThatIsReleased(t *testing.T) {
	w := newWorld(t)
	w.veth("veth0000001")
	w.met()
	w.attach("e1")
	w.listed("e1", 8080)
	w.holds("e1", 8080, "10.3.0.2")
	h := heldPort(8080, "10.3.0.2")
	w.must(w.watcher.ReleasePort(t.Context(), 1, h.PublishedPort))
	if got := w.dp.portsNow()["e1"]; len(got) != 0 {
		t.Errorf("released, and carried still: %v", got)
	}
	w.watcher.Relist()
	w.publishes("e1", h)
}

// An engine that gives no answer holds up no container for good, and what a proxy told
// meanwhile is carried when it answers.
func TestProxyWaitsForASilentEngine(t *testing.T) {
	w := newWorld(t)
	w.eventually("the first listing", func() bool { return w.state.Owns(w.bridge.Name) })
	silent := make(chan struct{})
	w.engine.edit(func() { w.engine.silent = silent })
	w.veth("veth0000001")
	w.attach("e1")
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	h := heldPort(8080, "10.3.0.2")
	_, err := w.watcher.HoldPort(short, 1, h)
	w.must(err)
	w.engine.edit(func() { w.engine.silent = nil })
	close(silent)
	w.publishes("e1", h)
}

// Where the engine is known to be away, nobody waits for it: it may be starting its
// containers, and answers after that.
func TestProxyOfAnEngineThatIsAway(t *testing.T) {
	w := newWorld(t)
	w.eventually("the first listing", func() bool { return w.state.Owns(w.bridge.Name) })
	w.engine.server.Close()
	w.eventually("the engine is away", func() bool { return !w.watcher.hears.Load() })
	asked := make(chan error, 1)
	go func() {
		_, err := w.watcher.HoldPort(context.Background(), 1, heldPort(8080, "10.3.0.2"))
		asked <- err
	}()
	select {
	case err := <-asked:
		w.must(err)
	case <-time.After(holdWait):
		t.Error("a proxy waits for an engine that is away")
	}
}

// Engines up to 26 put the interface into the container when its proxies run. The kernel's
// report that it is up is enough, without any other look.
func TestReportBindsADevice(t *testing.T) {
	w := newWorld(t)
	w.attach("e1")
	w.engine.tell("connect", netID)
	w.eventually("the endpoint is known", func() bool {
		w.watcher.mu.Lock()
		defer w.watcher.mu.Unlock()
		return len(w.watcher.view.networks[netID].Endpoints) == 1
	})
	inside := filepath.Join(t.TempDir(), "ns")
	w.vethInto(inside, "veth0000001", model.MAC{2, 0, 0, 0, 0, 1})
	w.met()
	// Nothing else goes on from here.
	w.watcher.cancel()
	w.watcher.background.Wait()
	w.must(netns.Do(inside, func() error {
		l, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(l, model.MAC{2, 0x42, 10, 3, 0, 2}.HardwareAddr())
	}))
	for index := range w.watcher.devices.Veths {
		reported, is, err := device.At(index)
		if w.must(err); !is {
			t.Fatal("the device isn't a container's")
		}
		w.watcher.appeared(reported)
	}
	if got := w.dp.devices()["e1"]; got != "veth0000001" {
		t.Errorf("the endpoint's device is %q", got)
	}
}
