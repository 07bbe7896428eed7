// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// world is a host in a network namespace of its own: a bridge br0 with ports, and
// an uplink up0.
type world struct {
	t     testing.TB
	cfg   Config
	netns string
	dp    *Datapath

	bridgeIndex int
	uplink      int
	devices     map[string]int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	var b [6]byte
	_, _ = rand.Read(b[:])
	run := t.TempDir()
	w := &world{
		t: t, netns: filepath.Join(run, "netns"), devices: make(map[string]int),
		cfg: Config{
			BPFFS: "/sys/fs/bpf/fairway-test-" + hex.EncodeToString(b[:]), RunDir: run, FlowTableSize: 8192,
			CollectInterval: time.Hour, Logger: slog.New(slog.DiscardHandler),
		},
	}
	if err := netns.Create(w.netns); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cleanup)
	w.bridgeIndex = w.bridge("br0")
	w.uplink = w.veth("up0", false)
	w.open()
	return w
}

// cleanup uninstalls and checks that nothing is left.
func (w *world) cleanup() {
	w.do(func() error { return w.dp.Uninstall(context.Background()) })
	if err := w.dp.Close(); err != nil {
		w.t.Error(err)
	}
	if _, err := os.Stat(w.cfg.BPFFS); !errors.Is(err, os.ErrNotExist) {
		w.t.Errorf("%s is left", w.cfg.BPFFS)
	}
	if err := netns.Delete(w.netns); err != nil {
		w.t.Error(err)
	}
}

func (w *world) do(f func() error) {
	w.t.Helper()
	if err := netns.Do(w.netns, f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) open() {
	w.t.Helper()
	w.do(func() (err error) {
		w.dp, err = New(context.Background(), w.cfg)
		return err
	})
}

// restart is what kill -9 and a new start are to the kernel: descriptors close.
func (w *world) restart() {
	w.t.Helper()
	if err := w.dp.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

// bridge makes one and returns its index.
func (w *world) bridge(name string) (index int) {
	w.t.Helper()
	w.do(func() error {
		b := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}
		err := errors.Join(netlink.LinkAdd(b), netlink.LinkSetUp(b))
		index = b.Index
		return err
	})
	return index
}

// veth makes a device, as port of the bridge or not, and returns its index.
func (w *world) veth(name string, port bool) int {
	w.t.Helper()
	index := 0
	w.do(func() error {
		attrs := netlink.LinkAttrs{Name: name}
		if port {
			attrs.MasterIndex = w.bridgeIndex
		}
		d := &netlink.Veth{LinkAttrs: attrs, PeerName: name + "p"}
		err := netlink.LinkAdd(d)
		index = d.Attrs().Index
		return err
	})
	w.devices[name] = index
	return index
}

func (w *world) remove(name string) {
	w.t.Helper()
	w.do(func() error {
		return netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Index: w.devices[name]}})
	})
}

func (w *world) network() datapath.Network {
	return datapath.Network{
		ID: "net1", Name: "net1", Device: datapath.Device{Name: "br0", Index: w.bridgeIndex, MAC: model.MAC{2, 0, 0, 0, 0, 1}},
		IPv4: &datapath.Subnet{Prefix: netip.MustParsePrefix("172.20.0.0/16"), Gateway: netip.MustParseAddr("172.20.0.1"), Mode: model.GatewayNAT},
		IPv6: &datapath.Subnet{Prefix: netip.MustParsePrefix("fd00:20::/64"), Gateway: netip.MustParseAddr("fd00:20::1"), Mode: model.GatewayRouted},
		ICC:  true, Masquerade: true, MTU: 1500,
	}
}

// endpoint returns an endpoint with the device veth<n>, which it makes if it
// isn't there.
func (w *world) endpoint(n byte) datapath.Endpoint {
	w.t.Helper()
	if name := fmt.Sprintf("veth%d", n); w.devices[name] == 0 {
		w.veth(name, true)
	}
	return w.endpointOf(n)
}

// endpointOf is endpoint where the device is there.
func (w *world) endpointOf(n byte) datapath.Endpoint {
	name := fmt.Sprintf("veth%d", n)
	return datapath.Endpoint{
		ID: fmt.Sprintf("ep%d", n), NetworkID: "net1", HostIf: name, HostIndex: w.devices[name],
		MAC:  model.MAC{2, 0x42, 172, 20, 0, n + 1},
		IPv4: netip.AddrFrom4([4]byte{172, 20, 0, n + 1}),
		IPv6: netip.AddrFrom16([16]byte{0xfd, 0, 0, 0x20, 15: n + 1}),
	}
}

func (w *world) host() model.Host {
	return model.Host{
		Uplinks: []model.Uplink{{
			Name: "up0", Index: w.uplink,
			Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.10/24"), netip.MustParsePrefix("2001:db8::10/64")},
		}},
		Addresses: []netip.Addr{
			netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("2001:db8::10"),
		},
	}
}

// ensure makes calls in the namespace and fails the test on the first error.
func (w *world) ensure(calls ...func(context.Context) error) {
	w.t.Helper()
	w.do(func() error {
		for _, call := range calls {
			if err := call(context.Background()); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) hostIs(h model.Host) func(context.Context) error {
	return func(ctx context.Context) error { return w.dp.EnsureHost(ctx, h) }
}

func (w *world) networkIs(n datapath.Network) func(context.Context) error {
	return func(ctx context.Context) error { return w.dp.EnsureNetwork(ctx, n) }
}

func (w *world) endpointIs(e datapath.Endpoint) func(context.Context) error {
	return func(ctx context.Context) error { return w.dp.EnsureEndpoint(ctx, e) }
}

func (w *world) endpointGone(id string) func(context.Context) error {
	return func(ctx context.Context) error { return w.dp.DeleteEndpoint(ctx, id) }
}

func (w *world) portsAre(id string, ports ...datapath.Port) func(context.Context) error {
	return func(ctx context.Context) error { return w.dp.EnsurePorts(ctx, id, ports) }
}

func (w *world) pruned(d datapath.Desired) func(context.Context) error {
	return func(ctx context.Context) error { return w.dp.Prune(ctx, d) }
}

// publication is host port -> container port 80 of e, on all IPv4 addresses.
func publication(e datapath.Endpoint, proto model.Proto, hostPort uint16) datapath.Port {
	return datapath.Port{
		PublishedPort: model.PublishedPort{
			Port: model.Port{Num: 80, Proto: proto}, HostIP: netip.IPv4Unspecified(), HostPort: hostPort,
		},
		Target: e.IPv4,
	}
}
