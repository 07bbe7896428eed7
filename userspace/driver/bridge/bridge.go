// SPDX-License-Identifier: Apache-2.0

package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// DefaultDevice is the device of the predefined network bridge.
const DefaultDevice = "fairway0"

// Driver makes bridges and veths.
type Driver struct {
	links *link.Host
	log   *slog.Logger
}

var _ interface {
	driver.Predefining
	driver.Tending
	driver.Serving
} = (*Driver)(nil)

// New returns a driver of the devices of links, which the caller closes.
func New(links *link.Host, log *slog.Logger) *Driver { return &Driver{links, log} }

// About says that users make networks, which have endpoints.
func (d *Driver) About() driver.About {
	return driver.About{Name: model.DriverBridge, Endpoints: true, Users: true}
}

// Validate reads Docker's options of bridge networks.
func (d *Driver) Validate(w *driver.Wish) (err error) {
	n := w.Network
	if n.Bridge, err = policy.ParseBridge(n.ID, n.Options); err != nil {
		return err
	}
	w.NoGateway4 = n.Bridge.GatewayMode4 == model.GatewayIsolated
	w.NoGateway6 = n.Bridge.GatewayMode6 == model.GatewayIsolated
	return policy.CheckBridge(n.Bridge, n.Internal, w.IPv4, w.IPv6)
}

// Predefined returns the network bridge, with the options that Docker's has.
func (d *Driver) Predefined(id string) *model.Network {
	return &model.Network{
		ID: id, Name: model.NetworkBridge, Driver: model.DriverBridge,
		Options: map[string]string{
			model.OptDefaultBridge: "true", model.OptBridgeName: DefaultDevice, model.OptICC: "true", model.OptMasquerade: "true",
			model.OptHostBinding: "0.0.0.0", model.OptMTU: strconv.Itoa(policy.DefaultMTU),
		},
		Bridge: policy.DefaultBridge(DefaultDevice),
	}
}

// Make makes the bridge. One that Fairway didn't make is adopted: the device has no owner
// then.
func (d *Driver) Make(_ context.Context, n *model.Network) (link.Device, error) {
	return d.links.EnsureBridge(Of(n))
}

// Told tells the datapath of the network and of its bridge.
func (d *Driver) Told(n *model.Network, made link.Device) *datapath.Network { return Told(n, made) }

// Remove deletes the bridge, unless it was adopted.
func (d *Driver) Remove(_ context.Context, n *model.Network) error {
	return d.links.DeleteBridge(n.Device(), n.ID)
}

// Attach makes a veth whose end on the host is a port of the bridge.
func (d *Driver) Attach(ctx context.Context, p driver.Plug) (link.Device, error) {
	box, err := link.OpenSandbox(p.Netns)
	if err != nil {
		return link.Device{}, err
	}
	defer box.Close()
	ep := p.Endpoint
	dev, err := d.links.CreateVeth(Veth(p.Network, ep), box)
	if err != nil {
		return link.Device{}, err
	}
	if err := p.Guard(dev); err != nil {
		return link.Device{}, err
	}
	iface := link.Interface{Name: ep.IfName, IPv4: ep.IPv4, IPv6: ep.IPv6}
	if err := box.Configure(ep.IfName, iface); err != nil {
		return link.Device{}, err
	}
	if err := d.links.SetUp(ep.HostIf); err != nil {
		return link.Device{}, err
	}
	if err := box.SetUp(iface); err != nil {
		return link.Device{}, err
	}
	if err := d.links.AwaitCarrier(ctx, ep.HostIf); err != nil {
		return link.Device{}, err
	}
	d.introduce(box, p)
	d.announce(box, p, iface)
	return dev, nil
}

// introducer tells an interface what the MAC address of its gateways is.
type introducer interface {
	Introduce(name string, gateways []netip.Addr, mac model.MAC) error
}

// introduce spares an endpoint the question for its gateways, which it asks where that
// fails: the kernel's table of neighbours may be full.
func (d *Driver) introduce(box introducer, p driver.Plug) {
	if err := box.Introduce(p.Endpoint.IfName, gateways(p), p.Made.MAC); err != nil {
		d.log.Warn("endpoint not told its gateways", "endpoint", p.Endpoint.ID, "network", p.Network.Name, "err", err)
	}
}

// gateways are those of the bridge's addresses that a new endpoint is sure to send to, at a
// MAC address that never changes.
func gateways(p driver.Plug) (all []netip.Addr) {
	if p.Made.Owner == "" {
		// Its owner may give it another one.
		return nil
	}
	b := Of(p.Network)
	for _, g := range []struct{ gateway, own netip.Prefix }{{b.IPv4, p.Endpoint.IPv4}, {b.IPv6, p.Endpoint.IPv6}} {
		if g.gateway.IsValid() && g.own.IsValid() {
			all = append(all, g.gateway.Addr())
		}
	}
	return all
}

// announce has the network told of an endpoint, which nobody has to wait for: hundreds of
// others hear it. Peers that remember a former owner of the address find out by themselves
// where it fails.
func (d *Driver) announce(box *link.Sandbox, p driver.Plug, iface link.Interface) {
	send, err := box.Announce(iface)
	d.sendAnnouncement(send, err, "endpoint", p.Endpoint.ID, "network", p.Network.Name)
}

// sendAnnouncement sends what link made, if it could, in its own time.
func (d *Driver) sendAnnouncement(send func() error, err error, of ...any) {
	report := func(err error) {
		if err != nil {
			d.log.Warn("not announced to its network", append(of, "err", err)...)
		}
	}
	if err != nil {
		report(err)
		return
	}
	go func() { report(send()) }()
}

// Restore takes over a veth whose ends are both in place.
func (d *Driver) Restore(_ context.Context, p driver.Plug) (link.Device, error) {
	dev, err := d.whole(p)
	if err != nil {
		return link.Device{}, err
	}
	if err := p.Guard(dev); err != nil {
		return link.Device{}, err
	}
	return dev, d.links.SetUp(p.Endpoint.HostIf)
}

func (d *Driver) whole(p driver.Plug) (link.Device, error) {
	ep := p.Endpoint
	dev, err := d.links.Find(ep.HostIf)
	if errors.Is(err, link.ErrNotFound) {
		return link.Device{}, driver.ErrNotWhole
	}
	if err != nil {
		return link.Device{}, err
	}
	if dev.Owner != ep.ID || dev.Master != p.Made.Index {
		return link.Device{}, driver.ErrNotWhole
	}
	box, err := link.OpenSandbox(p.Netns)
	if err != nil {
		return link.Device{}, err
	}
	defer box.Close()
	inner, err := box.Find(ep.IfName)
	// Being set up is the end of attaching: one that is down was never finished.
	if errors.Is(err, link.ErrNotFound) || err == nil && (inner.MAC != ep.MAC || !inner.Up) {
		return link.Device{}, driver.ErrNotWhole
	}
	return dev, err
}

// Detach deletes the veth. A device of the endpoint's name that isn't Fairway's any more
// is left alone.
func (d *Driver) Detach(_ context.Context, p driver.Plug) error {
	ep := p.Endpoint
	err := d.links.DeleteVeth(ep.HostIf, ep.ID)
	if errors.Is(err, link.ErrForeign) {
		d.log.Warn("device of an endpoint is not Fairway's any more, left alone", "device", ep.HostIf, "endpoint", ep.ID)
		return nil
	}
	if err != nil {
		return fmt.Errorf("device %s: %w", ep.HostIf, err)
	}
	return nil
}

// NetworkWhole reports whether the bridge is up and has its addresses. One that was
// adopted is its owner's to look after.
func (d *Driver) NetworkWhole(n *model.Network, made link.Device, s driver.Seen) bool {
	if made.Owner == "" {
		return true
	}
	is := s.Devices[n.ID]
	return is.Index == made.Index && is.Up && Of(n).Has(s.Addresses[is.Index])
}

// EndpointWhole reports whether the veth's end on the host is up and on a bridge.
func (d *Driver) EndpointWhole(e *model.Endpoint, index int, s driver.Seen) bool {
	is := s.Devices[e.ID]
	return is.Index == index && is.Master != 0 && is.Up
}
