// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/wanted"
)

const (
	netID   = "aaaaaaaaaaaabbbbbbbbbbbbccccccccccccddddddddddddeeeeeeeeeeeeffff"
	address = "10.3.0.2/24"
	mac     = "02:42:0a:03:00:02"
)

// world is an engine with one network, and a watcher on it.
type world struct {
	t       *testing.T
	engine  *fakeEngine
	dp      *fakeDatapath
	state   *wanted.State
	watcher *Watcher
	bridge  *netlink.Bridge
}

func newWorld(t *testing.T) *world { return newWorldWith(t, 0, func(*world) {}) }

// newWorldWith lets prepare change the datapath before the start.
func newWorldWith(t *testing.T, patience time.Duration, prepare func(*world)) *world {
	w := &world{t: t, engine: newFakeEngine(t), dp: newFakeDatapath()}
	w.bridge = &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br-" + netID[:12]}}
	if err := netlink.LinkAdd(w.bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.must(netlink.LinkDel(w.bridge)) })
	w.engine.networks[netID] = client.Network{
		ID: netID, Name: "net", Driver: "bridge", Scope: "local",
		IPAM: client.IPAM{Config: []client.Pool{{Subnet: "10.3.0.0/24", Gateway: "10.3.0.1"}}},
	}
	var err error
	log := slog.New(slog.DiscardHandler)
	w.state, err = wanted.New(wanted.Config{Datapath: w.dp, Devices: w.dp, Patience: patience, Log: log})
	w.must(err)
	w.watcher, err = New(Config{Socket: w.engine.socket, Wanted: w.state, Log: log})
	w.must(err)
	prepare(w)
	w.must(w.watcher.Start(context.Background()))
	t.Cleanup(func() { w.must(w.watcher.Close()) })
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) eventually(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not within 10 s; devices %v, ports %v, degraded %q", what, w.dp.devices(), w.dp.portsNow(), w.state.Degraded())
		}
	}
}

// veth makes a device of a container with the MAC address inside, and removes it
// with the returned function.
func (w *world) veth(name string) (remove func()) {
	w.t.Helper()
	return w.vethWith(name, model.MAC{2, 0x42, 10, 3, 0, 2})
}

func (w *world) vethWith(name string, inside model.MAC) (remove func()) {
	w.t.Helper()
	return w.vethInto(filepath.Join(w.t.TempDir(), "ns"), name, inside)
}

// vethInto makes the device's other end in a new namespace at path.
func (w *world) vethInto(path, name string, inside model.MAC) (remove func()) {
	w.t.Helper()
	w.must(netns.Create(path))
	f, err := os.Open(path)
	w.must(err)
	defer f.Close()
	v := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: name, MasterIndex: w.bridge.Index}, PeerName: "eth0",
		PeerNamespace: netlink.NsFd(int(f.Fd())),
	}
	v.PeerHardwareAddr = inside.HardwareAddr()
	w.must(netlink.LinkAdd(v))
	gone := false
	remove = func() {
		if !gone {
			gone = true
			w.must(netlink.LinkDel(v))
			w.must(netns.Delete(path))
		}
	}
	w.t.Cleanup(remove)
	return remove
}

// attach makes the engine say that the network has this one endpoint.
func (w *world) attach(endpoint string) {
	w.engine.edit(func() {
		n := w.engine.networks[netID]
		n.Containers = map[string]client.Endpoint{}
		if endpoint != "" {
			n.Containers["c-"+endpoint] = client.Endpoint{Name: "c-" + endpoint, EndpointID: endpoint, MacAddress: mac, IPv4Address: address}
		}
		w.engine.networks[netID] = n
	})
}

func (w *world) has(want map[string]string) func() bool {
	return func() bool { return maps.Equal(w.dp.devices(), want) }
}

func TestEndpointFindsItsDevice(t *testing.T) {
	w := newWorld(t)
	remove := w.veth("veth0000001")
	w.eventually("the device is guarded before anything is known", func() bool {
		w.dp.mu.Lock()
		defer w.dp.mu.Unlock()
		return w.dp.guarded["veth0000001"]
	})
	if got := w.dp.devices(); len(got) != 0 {
		t.Errorf("endpoints %v", got)
	}
	w.attach("e1")
	w.engine.tell("connect", netID)
	w.eventually("the endpoint has its device", w.has(map[string]string{"e1": "veth0000001"}))
	remove()
	w.eventually("the endpoint goes with its device", w.has(map[string]string{}))
}

// Many containers that start at once cost next to no listings of all devices, and each
// device is guarded all the same.
func TestBurstOfDevices(t *testing.T) {
	const many = 100
	w := newWorld(t)
	count := func() (looks, guarded int) {
		w.watcher.mu.Lock()
		defer w.watcher.mu.Unlock()
		w.dp.mu.Lock()
		defer w.dp.mu.Unlock()
		return w.watcher.looks, len(w.dp.guarded)
	}
	before, _ := count()
	for i := range many {
		v := &netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("veth%07x", i), MasterIndex: w.bridge.Index}, PeerName: fmt.Sprintf("p%d", i),
		}
		w.must(netlink.LinkAdd(v))
		defer func() { w.must(netlink.LinkDel(v)) }()
		w.must(netlink.LinkSetUp(v))
	}
	w.eventually("all devices are guarded", func() bool {
		_, guarded := count()
		return guarded == many
	})
	// The kernel tells of each device what it is, and of a bridge when it gets another MAC
	// address: that of its ports which is lowest, a handful of times.
	const most = 25
	after, _ := count()
	if looks := after - before; looks > most {
		t.Errorf("%d listings for %d devices, want at most %d", looks, many, most)
	}
}

// The kernel reports a bridge whose ports come and go, and of the bridge itself nothing is
// different. Docker gives it its MAC address, which doesn't follow the ports then.
func TestBridgeWithOtherPorts(t *testing.T) {
	w := newWorld(t)
	mac := model.MAC{2, 0x42, 1, 2, 3, 4}
	w.must(netlink.LinkSetIP6AddrGenMode(w.bridge, nl.IN6_ADDR_GEN_MODE_NONE))
	w.must(netlink.LinkSetHardwareAddr(w.bridge, mac.HardwareAddr()))
	w.must(netlink.LinkSetUp(w.bridge))
	look := func() (looks, veths int, stale bool, now model.MAC) {
		w.watcher.mu.Lock()
		defer w.watcher.mu.Unlock()
		d := w.watcher.devices
		return w.watcher.looks, len(d.Veths), w.watcher.stale, d.Bridges[w.bridge.Name].MAC
	}
	w.eventually("the bridge's new address is known", func() bool {
		_, _, stale, now := look()
		return !stale && now == mac
	})
	before, _, _, _ := look()
	for i := range 5 {
		remove := w.veth(fmt.Sprintf("veth%07x", i))
		w.eventually("the device is known", func() bool { _, veths, _, _ := look(); return veths == 1 })
		remove()
		w.eventually("the device is forgotten", func() bool { _, veths, _, _ := look(); return veths == 0 })
	}
	if looks, _, stale, _ := look(); looks != before || stale {
		t.Errorf("%d listings of all devices, another one due %t, want none", looks-before, stale)
	}
}

// What no event told is found after a reconnection.
func TestLostEvents(t *testing.T) {
	w := newWorld(t)
	w.veth("veth0000001")
	w.attach("e1")
	w.engine.disconnect()
	w.eventually("the endpoint has its device", w.has(map[string]string{"e1": "veth0000001"}))
	w.engine.edit(func() { delete(w.engine.networks, netID) })
	w.engine.disconnect()
	w.eventually("the network is gone", func() bool {
		w.dp.mu.Lock()
		defer w.dp.mu.Unlock()
		return len(w.dp.networks) == 0 && len(w.dp.endpoints) == 0
	})
}

// An address, and with it the MAC address, is used again before anybody said that
// the first container is gone: the second never gets the first one's ports.
func TestAddressUsedAgain(t *testing.T) {
	w := newWorld(t)
	w.attach("e1")
	w.listed("e1", 8080)
	removeFirst := w.veth("veth0000001")
	w.engine.tell("connect", netID)
	w.eventually("the first has its device", w.has(map[string]string{"e1": "veth0000001"}))
	h := heldPort(8080, "10.3.0.2")
	internal, err := w.watcher.HoldPort(t.Context(), 1, h)
	if w.must(err); internal {
		t.Error("the network counts as internal")
	}
	if got := w.dp.portsNow()["e1"]; len(got) != 1 {
		t.Fatalf("ports of the first %v", got)
	}
	silent := make(chan struct{})
	w.engine.edit(func() { w.engine.silent = silent })
	removeFirst()
	w.veth("veth0000002")
	w.eventually("the first is gone", w.has(map[string]string{}))
	w.attach("e2")
	w.listed("e2")
	w.eventually("the engine is asked", func() bool {
		w.engine.mu.Lock()
		defer w.engine.mu.Unlock()
		return w.engine.kept > 0
	})
	if got := w.dp.devices(); len(got) != 0 {
		t.Errorf("before the engine has answered: %v", got)
	}
	// Docker waits for the end of a proxy, which doesn't wait for Docker.
	released := make(chan error, 1)
	go func() { released <- w.watcher.ReleasePort(t.Context(), 1, h.PublishedPort) }()
	select {
	case err := <-released:
		w.must(err)
	case <-time.After(time.Minute):
		t.Fatal("the release of a port waits for the engine")
	}
	w.engine.edit(func() { w.engine.silent = nil })
	close(silent)
	w.eventually("the second has its device", w.has(map[string]string{"e2": "veth0000002"}))
	if got := w.dp.portsNow()["e2"]; len(got) != 0 {
		t.Errorf("ports of the second: %v", got)
	}
}

// Docker's own proxies don't say that they end. What one of them held is wanted on as
// long as its container is listed with it at that address: the address may be
// another container's, and the container may have another address.
func TestPortOfDeadProxy(t *testing.T) {
	w := newWorld(t)
	const dead = 1<<22 + 1
	w.attach("e1")
	removeFirst := w.veth("veth0000001")
	w.engine.tell("connect", netID)
	w.eventually("the first has its device", w.has(map[string]string{"e1": "veth0000001"}))
	w.listed("e1", 8080)
	_, err := w.watcher.HoldPort(t.Context(), dead, heldPort(8080, "10.3.0.2"))
	w.must(err)
	w.engine.tell("connect", netID)
	w.publishes("e1", heldPort(8080, "10.3.0.2"))

	w.attach("e2")
	w.listed("e2")
	removeFirst()
	w.veth("veth0000002")
	w.engine.tell("connect", netID)
	w.eventually("the second has its device", w.has(map[string]string{"e2": "veth0000002"}))
	w.publishes("e2")

	w.listed("e2", 8080)
	_, err = w.watcher.HoldPort(t.Context(), dead, heldPort(8080, "10.3.0.9"))
	w.must(err)
	w.engine.tell("connect", netID)
	w.publishes("e2", heldPort(8080, "10.3.0.2"))
}

// listed makes the engine list one container, with the endpoint and ports.
func (w *world) listed(endpoint string, ports ...uint16) {
	c := client.Container{ID: "c-" + endpoint, Names: []string{"/c"}, State: "running"}
	c.NetworkSettings.Networks = map[string]client.Attachment{"net": {NetworkID: netID, EndpointID: endpoint}}
	for _, p := range ports {
		c.Ports = append(c.Ports, client.Port{IP: "0.0.0.0", PrivatePort: 80, PublicPort: p, Type: "tcp"})
	}
	w.engine.edit(func() { w.engine.containers = []client.Container{c} })
}

// publishes waits until the endpoint publishes just these.
func (w *world) publishes(endpoint string, want ...facts.Held) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%s publishes %v", endpoint, want), func() bool {
		have, said := w.dp.portsNow()[endpoint]
		return said && slices.EqualFunc(have, want, func(p datapath.Port, h facts.Held) bool {
			return p.PublishedPort == h.PublishedPort && p.Target == h.Target
		})
	})
}

// heldPort is port 80 of a container at a port of all the host's addresses.
func heldPort(port uint16, target string) facts.Held {
	return facts.Held{
		PublishedPort: model.PublishedPort{Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: netip.IPv4Unspecified(), HostPort: port},
		Target:        netip.MustParseAddr(target),
	}
}

// A killed engine leaves a container's device behind and gives its addresses to the
// next: that one's device is the newer, whichever is seen first.
func TestDeviceLeftBehind(t *testing.T) {
	w := newWorld(t)
	w.attach("e1")
	w.veth("veth0000001")
	w.engine.tell("connect", netID)
	w.eventually("the first has its device", w.has(map[string]string{"e1": "veth0000001"}))
	w.attach("e2")
	w.engine.tell("connect", netID)
	w.eventually("the second is given the only device", w.has(map[string]string{"e2": "veth0000001"}))
	w.veth("veth0000002")
	w.eventually("the second has its own", w.has(map[string]string{"e2": "veth0000002"}))
	w.attach("e3")
	w.engine.tell("connect", netID)
	w.eventually("the third has the newer", w.has(map[string]string{"e3": "veth0000002"}))
}

// Leftovers go once, when the engine has said everything.
func TestSweepAfterTheFirstListing(t *testing.T) {
	w := newWorld(t)
	w.eventually("leftovers are swept", func() bool {
		w.dp.mu.Lock()
		defer w.dp.mu.Unlock()
		return w.dp.sweeps == 1
	})
	if got := w.state.Degraded(); len(got) != 0 {
		t.Errorf("degraded: %q", got)
	}
	if !w.state.Owns(w.bridge.Name) || w.state.Owns("eth0") {
		t.Error("owns the wrong devices")
	}
}

// A new network costs one question, however many there are: its first container may
// follow at once, and its devices aren't guarded before the network is known.
func TestNewNetworkIsAskedForAlone(t *testing.T) {
	w := newWorld(t)
	w.eventually("the first listing", func() bool { return w.state.Owns(w.bridge.Name) })
	const id = "bbbbbbbbbbbbccccccccccccddddddddddddeeeeeeeeeeeeffffffffffffaaaa"
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br-" + id[:12]}}
	w.must(netlink.LinkAdd(bridge))
	t.Cleanup(func() { w.must(netlink.LinkDel(bridge)) })
	w.engine.edit(func() {
		w.engine.networks[id] = client.Network{
			ID: id, Name: "new", Driver: "bridge", Scope: "local",
			IPAM: client.IPAM{Config: []client.Pool{{Subnet: "10.4.0.0/24", Gateway: "10.4.0.1"}}},
		}
		w.engine.asked = nil
	})
	w.engine.tell("create", id)
	w.eventually("the network is known", func() bool { return w.state.Owns(bridge.Name) })
	w.engine.edit(func() {
		if !slices.Equal(w.engine.asked, []string{id}) {
			t.Errorf("asked for %v, want the new network alone", w.engine.asked)
		}
	})
}

// A network that is refused for good keeps leftovers only for some time.
func TestSweepThoughANetworkIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		patience time.Duration
		sweeps   int
	}{"at first": {time.Hour, 0}, "after a time": {time.Millisecond, 1}} {
		t.Run(name, func(t *testing.T) {
			w := newWorldWith(t, c.patience, func(w *world) { w.dp.refused = "net" })
			w.eventually("the network is told", func() bool { return len(w.state.Degraded()) == 1 })
			w.eventually(fmt.Sprintf("%d sweeps", c.sweeps), func() bool {
				w.dp.mu.Lock()
				defer w.dp.mu.Unlock()
				return w.dp.sweeps == c.sweeps
			})
		})
	}
}

// That a network can be read doesn't mean that it isn't refused.
func TestRefusedNetworkStaysToldOf(t *testing.T) {
	w := newWorldWith(t, time.Hour, func(w *world) { w.dp.refused = "net" })
	w.eventually("the network is told", func() bool { return len(w.state.Degraded()) == 1 })
	before := w.state.Degraded()
	w.watcher.translate(w.engine.networks[netID], make(map[string]facts.Network))
	if now := w.state.Degraded(); !slices.Equal(now, before) {
		t.Errorf("told %q, then %q", before, now)
	}
}

// An engine that tells of events and answers nothing else is told of.
func TestEngineThatAnswersEventsOnly(t *testing.T) {
	w := newWorld(t)
	w.eventually("the first listing", func() bool { return w.state.Owns(w.bridge.Name) })
	w.engine.edit(func() { w.engine.broken = true })
	w.engine.tell("connect", netID)
	w.eventually("the trouble is told", func() bool { return strings.Contains(fmt.Sprint(w.state.Degraded()), "broken") })
	w.engine.edit(func() { w.engine.broken = false })
	w.eventually("and forgotten", func() bool { return len(w.state.Degraded()) == 0 })
}

// A device that an engine left behind isn't looked at for ever.
func TestDeviceOfNobody(t *testing.T) {
	w := newWorld(t)
	w.veth("veth0000001")
	bind := func() bool {
		w.watcher.mu.Lock()
		defer w.watcher.mu.Unlock()
		waiting, _ := w.watcher.bind()
		return waiting
	}
	w.eventually("its endpoint is waited for", bind)
	w.watcher.mu.Lock()
	for index, seen := range w.watcher.since {
		seen.at = seen.at.Add(-eventIsLost)
		w.watcher.since[index] = seen
	}
	w.watcher.mu.Unlock()
	if bind() {
		t.Error("it is waited for still")
	}
	w.attach("e1")
	w.engine.tell("connect", netID)
	w.eventually("the endpoint has its device", w.has(map[string]string{"e1": "veth0000001"}))
}

func TestNamesAndTroubles(t *testing.T) {
	w := newWorld(t)
	w.attach("e1")
	w.veth("veth0000001")
	w.engine.tell("connect", netID)
	w.eventually("the endpoint has its device", w.has(map[string]string{"e1": "veth0000001"}))
	if c, n := w.watcher.NamesOf("e1"); c != "c-e1" || n != "net" {
		t.Errorf("names %q, %q", c, n)
	}
	w.engine.edit(func() {
		w.engine.networks["bad"] = client.Network{ID: "bad", Name: "bad", Driver: "bridge", IPAM: client.IPAM{Config: []client.Pool{{Subnet: "x"}}}}
	})
	w.engine.tell("create", "bad")
	w.eventually("the trouble is told", func() bool { return strings.Contains(fmt.Sprint(w.state.Degraded()), "network bad") })
	w.engine.edit(func() { delete(w.engine.networks, "bad") })
	w.engine.tell("destroy", "bad")
	w.eventually("and forgotten", func() bool { return len(w.state.Degraded()) == 0 })
}

// A container that no event tells about is asked for because of its device.
func TestLostConnect(t *testing.T) {
	w := newWorld(t)
	w.veth("veth0000001")
	w.eventually("the engine was asked after the device appeared", func() bool {
		w.watcher.mu.Lock()
		defer w.watcher.mu.Unlock()
		return w.watcher.clock > 0 && w.watcher.view.asked[netID] == w.watcher.clock
	})
	w.attach("e1")
	w.eventually("the endpoint has its device", w.has(map[string]string{"e1": "veth0000001"}))
}

// Ports on a routed network are the containers' own inspections to tell, each asked
// for once. One that is locked holds up nothing else.
func TestRoutedPortsAreAskedFor(t *testing.T) {
	w := newWorld(t)
	w.attach("e1")
	w.engine.edit(func() {
		n := w.engine.networks[netID]
		n.Options = map[string]string{model.OptGatewayMode4: "routed"}
		n.Containers["c-locked"] = client.Endpoint{Name: "l", EndpointID: "l", MacAddress: "02:42:0a:03:00:09", IPv4Address: "10.3.0.9/24"}
		w.engine.networks[netID] = n
		w.engine.containers = []client.Container{{ID: "c-a", State: "running"}, {ID: "c-e1", State: "running"}, {ID: "c-locked", State: "running"}}
		w.engine.locked["c-locked"] = true
		var wanted client.Wanted
		wanted.HostConfig.PortBindings = map[string][]client.Binding{"80/tcp": {{}}}
		w.engine.wanted["c-e1"] = wanted
	})
	w.veth("veth0000001")
	w.engine.disconnect()
	w.eventually("the port is open", func() bool {
		ports := w.dp.portsNow()["e1"]
		return len(ports) == 1 && ports[0].Routed && ports[0].Target == netip.MustParseAddr("10.3.0.2")
	})
	w.eventually("the locked container is asked for again, and told as the trouble", func() bool {
		w.engine.mu.Lock()
		defer w.engine.mu.Unlock()
		return w.engine.inspected["c-locked"] >= 2 && strings.Contains(fmt.Sprint(w.state.Degraded()), "ports of container c-locked")
	})
	w.engine.edit(func() {
		if n := w.engine.inspected["c-e1"]; n != 1 {
			t.Errorf("c-e1 was inspected %d times", n)
		}
		if n := w.engine.inspected["c-a"]; n != 0 {
			t.Errorf("c-a, which is on no routed network, was inspected %d times", n)
		}
		n := w.engine.networks[netID]
		delete(n.Containers, "c-locked")
		w.engine.containers = w.engine.containers[:2]
	})
	w.engine.disconnect()
	w.eventually("the trouble is over", func() bool { return len(w.state.Degraded()) == 0 })
}
