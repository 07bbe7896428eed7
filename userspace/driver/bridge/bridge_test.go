// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

const id = "0123456789abcdef"

func network() *model.Network {
	return &model.Network{
		ID: id, Name: "front", Driver: model.DriverBridge, Created: time.Unix(1, 0), Internal: true,
		Labels: map[string]string{"a": "b"},
		IPv4: &model.Subnet{Prefix: netip.MustParsePrefix("10.9.0.0/24"), Gateway: netip.MustParseAddr("10.9.0.1"),
			Aux: map[string]netip.Addr{"x": netip.MustParseAddr("10.9.0.9")}},
		IPv6: &model.Subnet{Prefix: netip.MustParsePrefix("fd00:9::/64")},
		Bridge: model.Bridge{
			Name: "br-front", Default: true, ICC: true, Masquerade: true, MTU: 1400, GatewayMode4: model.GatewayNAT, GatewayMode6: model.GatewayRouted,
			HostIPv4: netip.MustParseAddr("192.0.2.1"), TrustedHostInterfaces: []string{"eth0"},
		},
	}
}

func TestTold(t *testing.T) {
	got := Told(network(), link.Device{Index: 7, MAC: model.MAC{2, 1}})
	want := &datapath.Network{
		ID: id, Name: "front", Created: time.Unix(1, 0), Device: datapath.Device{Name: "br-front", Index: 7, MAC: model.MAC{2, 1}},
		IPv4: &datapath.Subnet{Prefix: netip.MustParsePrefix("10.9.0.0/24"), Gateway: netip.MustParseAddr("10.9.0.1"), Mode: model.GatewayNAT,
			Source: netip.MustParseAddr("192.0.2.1")},
		IPv6:     &datapath.Subnet{Prefix: netip.MustParsePrefix("fd00:9::/64"), Mode: model.GatewayRouted},
		Internal: true, ICC: true, Masquerade: true, HostGateway: true, MTU: 1400, Trusted: []string{"eth0"},
	}
	equal := []cmp.Option{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
	if diff := cmp.Diff(want, got, equal...); diff != "" {
		t.Error(diff)
	}
	n := network()
	n.IPv6 = nil
	if Told(n, link.Device{}).IPv6 != nil {
		t.Error("a family that is off is told")
	}
}

func TestOf(t *testing.T) {
	n := network()
	want := link.Bridge{
		Name: "br-front", NetworkID: id, MAC: model.MAC{2, 0x66, 1, 0x23, 0x45, 0x67}, MTU: 1400, IPv4: netip.MustParsePrefix("10.9.0.1/24"),
	}
	if got := Of(n); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	n.Bridge.InhibitIPv4 = true
	if Of(n).IPv4.IsValid() {
		t.Error("the inhibited address is on the bridge")
	}
}

func TestValidate(t *testing.T) {
	d := New(nil, slog.New(slog.DiscardHandler))
	wish := func(options map[string]string, internal bool) *driver.Wish {
		return &driver.Wish{Network: &model.Network{ID: id, Options: options, Internal: internal}, IPv4: true, IPv6: true}
	}
	w := wish(map[string]string{model.OptGatewayMode6: "isolated", model.OptMTU: "1300"}, true)
	if err := d.Validate(w); err != nil || w.NoGateway4 || !w.NoGateway6 || w.Network.Bridge.MTU != 1300 || w.Network.Device() != "br-0123456789ab" {
		t.Errorf("%+v of %+v, %v", w, w.Network, err)
	}
	for text, w := range map[string]*driver.Wish{
		"unknown":  wish(map[string]string{"colour": "red"}, false),
		"internal": wish(map[string]string{model.OptGatewayMode4: "isolated"}, false),
	} {
		if err := d.Validate(w); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("refused with %v, want one that says %q", err, text)
		}
	}
}

// One look at the host tells what somebody has broken.
func TestWhole(t *testing.T) {
	d, n := New(nil, slog.New(slog.DiscardHandler)), network()
	ep := &model.Endpoint{ID: "e"}
	made := link.Device{Index: 3, Owner: id}
	seen := func(bridge, veth link.Device, addresses ...netip.Prefix) driver.Seen {
		return driver.Seen{Devices: map[string]link.Device{id: bridge, "e": veth}, Addresses: map[int][]netip.Prefix{3: addresses}}
	}
	gateway := netip.MustParsePrefix("10.9.0.1/24")
	br, veth := link.Device{Index: 3, Owner: id, Up: true}, link.Device{Index: 4, Owner: "e", Up: true, Master: 3}
	down, moved, out := br, br, veth
	down.Up, moved.Index, out.Master = false, 5, 0
	for what, tt := range map[string]struct {
		seen              driver.Seen
		network, endpoint bool
	}{
		"all":                    {seen(br, veth, gateway), true, true},
		"nothing":                {driver.Seen{}, false, false},
		"bridge down":            {seen(down, veth, gateway), false, true},
		"another bridge":         {seen(moved, veth, gateway), false, true},
		"bridge without address": {seen(br, veth), false, true},
		"veth off the bridge":    {seen(br, out, gateway), true, false},
	} {
		if got := d.NetworkWhole(n, made, tt.seen); got != tt.network {
			t.Errorf("%s: network whole: %t", what, got)
		}
		if got := d.EndpointWhole(ep, 4, tt.seen); got != tt.endpoint {
			t.Errorf("%s: endpoint whole: %t", what, got)
		}
	}
	if !d.NetworkWhole(n, link.Device{Index: 3}, driver.Seen{}) {
		t.Error("an adopted bridge is looked after")
	}
}

// full is an interface that learns no neighbour.
type full struct{}

func (full) Introduce(string, []netip.Addr, model.MAC) error { return unix.ENOBUFS }

// An endpoint that can't be told its gateways is attached all the same.
func TestIntroductionIsNoCondition(t *testing.T) {
	var log bytes.Buffer
	d := New(nil, slog.New(slog.NewTextHandler(&log, nil)))
	d.introduce(full{}, driver.Plug{Network: network(), Endpoint: &model.Endpoint{ID: "e1", IfName: "eth0"}})
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "e1") {
		t.Errorf("log: %q", log.String())
	}
}
