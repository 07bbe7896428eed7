// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

// wires is a made-up driver: each endpoint has a veth of its own, whose end on the host
// nothing leads on from. There is no device for a network, and the datapath carries nothing.
type wires struct{ links *link.Host }

const driverWires model.Driver = "wires"

func newWires(links *link.Host) driver.Driver { return wires{links} }

var _ driver.Tending = wires{}

func (wires) About() driver.About {
	return driver.About{Name: driverWires, Endpoints: true, Users: true}
}

func (wires) Validate(w *driver.Wish) error {
	for key := range w.Network.Options {
		return fmt.Errorf("option %q: wires have none", key)
	}
	return nil
}

func (wires) Make(context.Context, *model.Network) (link.Device, error) { return link.Device{}, nil }
func (wires) Remove(context.Context, *model.Network) error              { return nil }
func (wires) Told(*model.Network, link.Device) *datapath.Network        { return nil }

func (d wires) Attach(_ context.Context, p driver.Plug) (link.Device, error) {
	box, err := link.OpenSandbox(p.Netns)
	if err != nil {
		return link.Device{}, err
	}
	defer box.Close()
	ns, err := netns.Open(p.Netns)
	if err != nil {
		return link.Device{}, err
	}
	defer ns.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = p.Endpoint.HostIf
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerNamespace = p.Endpoint.IfName, p.Endpoint.MAC.HardwareAddr(), netlink.NsFd(ns.Fd())
	if err := netlink.LinkAdd(veth); err != nil {
		return link.Device{}, err
	}
	if err := netlink.LinkSetAlias(veth, link.AliasPrefix+p.Endpoint.ID); err != nil {
		return link.Device{}, err
	}
	dev, err := d.links.Find(attrs.Name)
	if err != nil {
		return link.Device{}, err
	}
	if err := p.Guard(dev); err != nil {
		return link.Device{}, err
	}
	inside := link.Interface{Name: p.Endpoint.IfName, IPv4: p.Endpoint.IPv4, IPv6: p.Endpoint.IPv6}
	return dev, errors.Join(box.Configure(p.Endpoint.IfName, inside), box.SetUp(inside), d.links.SetUp(attrs.Name))
}

func (d wires) Restore(_ context.Context, p driver.Plug) (link.Device, error) {
	dev, err := d.links.Find(p.Endpoint.HostIf)
	if err != nil {
		return link.Device{}, errors.Join(driver.ErrNotWhole, err)
	}
	return dev, p.Guard(dev)
}

func (d wires) Detach(_ context.Context, p driver.Plug) error {
	return d.links.DeleteVeth(p.Endpoint.HostIf, p.Endpoint.ID)
}

func (wires) NetworkWhole(*model.Network, link.Device, driver.Seen) bool { return true }

func (wires) EndpointWhole(e *model.Endpoint, index int, s driver.Seen) bool {
	return s.Devices[e.ID].Index == index
}

// interfaces lists the interfaces of a sandbox with the index of each one's other end, or 0.
func interfaces(t *testing.T, path string) map[string]int {
	t.Helper()
	all := make(map[string]int)
	must(t, netns.Do(path, func() error {
		links, err := netlink.LinkList()
		for _, l := range links {
			all[l.Attrs().Name] = l.Attrs().ParentIndex
		}
		return err
	}))
	return all
}

// A driver is all that it takes for networks of another kind: they are made, their
// endpoints attached, taken over, mended and removed beside those of others.
func TestMadeUpDriver(t *testing.T) {
	w := newWorldWith(t, newWires)
	ctx := context.Background()
	subnet := netip.MustParsePrefix("10.91.0.0/24")
	wire := request.NetworkCreate{Name: "wire", Driver: driverWires, IPAM: []request.IPAMConfig{{Subnet: subnet}}}

	for _, c := range []struct {
		change func(*request.NetworkCreate)
		says   string
	}{
		{func(r *request.NetworkCreate) { r.Driver = "pigeon" }, `driver "pigeon": unknown; want bridge or wires`},
		{func(r *request.NetworkCreate) { r.Driver = model.DriverHost }, `driver "host": only one instance of this network is allowed`},
		{func(r *request.NetworkCreate) { r.Options = map[string]string{"colour": "red"} }, `option "colour": wires have none`},
	} {
		bad := wire
		c.change(&bad)
		if _, err := w.CreateNetwork(ctx, bad); !errors.Is(err, request.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("refused with %v, want %q", err, c.says)
		}
	}

	n := w.network(wire)
	if n.Driver != driverWires || n.Device() != "" || n.Predefined() {
		t.Errorf("made %+v", n)
	}
	w.network(request.NetworkCreate{Name: "front"})
	v := w.run(request.SandboxConfig{Name: "a", Networks: on("wire", "front")})
	before := interfaces(t, v.Netns)
	hostIf := make(map[string]string)
	for _, ep := range v.Endpoints {
		hostIf[ep.NetworkName] = ep.HostIf
		dev, err := w.links.Find(ep.HostIf)
		must(t, err)
		if before[ep.IfName] != dev.Index || (dev.Master == 0) != (ep.NetworkName == "wire") {
			t.Errorf("%s: interfaces %v, device %+v", ep.NetworkName, before, dev)
		}
		if told := w.fake.endpoint(ep.ID).ID != ""; told != (ep.NetworkName == "front") {
			t.Errorf("the datapath knows of the endpoint on %s: %t", ep.NetworkName, told)
		}
		if ep.NetworkName == "wire" && !subnet.Contains(ep.IPv4.Addr()) {
			t.Errorf("address %s", ep.IPv4)
		}
	}
	if w.fake.knowsNetwork(n.ID) {
		t.Error("the datapath knows of the network")
	}

	w.restart()
	if now := interfaces(t, v.Netns); fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("after a restart %v, before %v", now, before)
	}

	must(t, w.links.Delete(hostIf["wire"], ownerOf(t, w, hostIf["wire"])))
	eventually(t, "the interface to be made again", func() bool {
		_, err := w.links.Find(hostIf["wire"])
		return err == nil && len(interfaces(t, v.Netns)) == len(before)
	})

	must(t, w.Disconnect(ctx, "wire", "a", false))
	if _, err := w.links.Find(hostIf["wire"]); !errors.Is(err, link.ErrNotFound) {
		t.Errorf("after disconnecting: %v", err)
	}
	must(t, w.Connect(ctx, "a", request.EndpointSettings{Network: "wire"}))
	if now := interfaces(t, v.Netns); len(now) != len(before) {
		t.Errorf("after connecting %v", now)
	}
	if err := w.RemoveNetwork(ctx, "wire"); !errors.Is(err, request.ErrConflict) {
		t.Errorf("removed a network with an endpoint: %v", err)
	}
	must(t, w.Remove(ctx, "a", true))
	must(t, w.RemoveNetwork(ctx, "wire"))
	w.stored()
}

func ownerOf(t *testing.T, w *world, device string) string {
	t.Helper()
	dev, err := w.links.Find(device)
	must(t, err)
	return dev.Owner
}

// A network whose driver a daemon lacks, as after a downgrade, is told as the trouble and
// stays, with what is on it.
func TestDriverIsGone(t *testing.T) {
	w := newWorldWith(t, newWires)
	w.network(request.NetworkCreate{Name: "wire", Driver: driverWires})
	v := w.run(request.SandboxConfig{Name: "a", Networks: on("wire")})
	before := interfaces(t, v.Netns)
	w.shut()
	w.more = nil
	w.open()
	if now := interfaces(t, v.Netns); fmt.Sprint(now) != fmt.Sprint(before) {
		t.Errorf("interfaces %v, before %v", now, before)
	}
	status, err := w.Status(context.Background())
	must(t, err)
	if !slices.ContainsFunc(status.Degraded, func(s string) bool { return strings.Contains(s, `driver "wires": unknown; want bridge`) }) {
		t.Errorf("degraded: %q", status.Degraded)
	}
	w.shut()
	w.more = newWires
	w.open()
}
