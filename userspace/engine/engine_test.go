// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

var ctx = context.Background()

func TestRunStopRemoveLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.network(request.NetworkCreate{Name: "back", EnableIPv6: true})
	before := w.snapshot()
	v := w.run(request.SandboxConfig{Name: "web", Networks: on("back"), Publish: []string{"18080:80", "81/udp"}})
	if v.State.Status != model.StatusRunning || len(v.Endpoints) != 1 || len(v.Published) != 4 {
		t.Fatalf("view: %+v", v)
	}
	ep := v.Endpoints[0]
	guarded := w.fake.endpoint(ep.ID)
	if guarded.IPv4 != ep.IPv4.Addr() || guarded.IPv6 != ep.IPv6.Addr() || guarded.HostIndex == 0 {
		t.Errorf("datapath has %+v, want the addresses of %+v", guarded, ep)
	}
	if ports := w.fake.portsOf(ep.ID); len(ports) != 4 {
		t.Errorf("datapath has ports %v, want 4", ports)
	}
	w.stored()
	must(t, w.Stop(ctx, "web", request.Stop{}))
	stopped := w.view("web")
	if stopped.State.Status != model.StatusExited || len(stopped.Endpoints) != 0 || len(stopped.Published) != 0 {
		t.Errorf("after stop: %+v", stopped)
	}
	w.stored()
	if f := stopped.Former; len(f) != 1 || f[0].Network != "back" || f[0].NetworkID != ep.NetworkID || f[0].IPv4.IsValid() {
		t.Errorf("remembered %+v of network back", f)
	}
	if code, err := w.Wait(ctx, "web"); err != nil || code != 128+int(unix.SIGTERM) {
		t.Errorf("exit code %d, %v", code, err)
	}
	must(t, w.Remove(ctx, "web", false))
	w.unchanged(before)
}

func TestFailureAtEveryStepChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.network(request.NetworkCreate{Name: "a"})
	w.network(request.NetworkCreate{Name: "b"})
	w.run(request.SandboxConfig{Name: "old", Networks: on("b"), Publish: []string{"80"}})
	edits := map[string]func() error{
		"run": func() error {
			_, _, err := w.Run(ctx, request.Run{
				SandboxConfig: request.SandboxConfig{Name: "new", Networks: on("a", "b"), Publish: []string{"18081:80"}},
				Command:       []string{"sleep", "1000"},
			}, nil)
			return err
		},
		"connect":    func() error { return w.Connect(ctx, "old", request.EndpointSettings{Network: "a"}) },
		"disconnect": func() error { return w.Disconnect(ctx, "b", "old", false) },
		"network": func() error {
			_, err := w.CreateNetwork(ctx, request.NetworkCreate{Name: "c"})
			return err
		},
	}
	for _, name := range []string{"network", "run", "disconnect", "connect"} {
		before := w.snapshot()
		steps := 0
		for n := 1; ; n++ {
			w.fake.failNext(n)
			err := edits[name]()
			if !w.fake.failed() {
				must(t, err)
				break
			}
			if !errors.Is(err, errInjected) {
				t.Fatalf("%s, failure %d: got %v", name, n, err)
			}
			w.fake.failNext(0)
			w.unchanged(before)
			steps++
		}
		w.fake.failNext(0)
		if steps == 0 {
			t.Errorf("%s: the datapath was never asked", name)
		}
	}
	w.stored()
}

func TestCommandThatDoesNotStartChangesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.snapshot()
	_, _, err := w.Run(ctx, request.Run{Command: []string{"/nonexistent"}}, nil)
	if err == nil {
		t.Fatal("started")
	}
	w.unchanged(before)
}

func TestAutoRemove(t *testing.T) {
	w := newWorld(t)
	before := w.snapshot()
	_, p, err := w.Run(ctx, request.Run{Command: []string{"sh", "-c", "exit 7"}, AutoRemove: true}, nil)
	must(t, err)
	if code, err := p.Wait(ctx); err != nil || code != 7 {
		t.Errorf("exit code %d, %v", code, err)
	}
	w.unchanged(before)
}

func TestGatewayFollowsConnectAndDisconnect(t *testing.T) {
	w := newWorld(t)
	w.network(request.NetworkCreate{Name: "m"})
	w.network(request.NetworkCreate{Name: "a"})
	w.network(request.NetworkCreate{Name: "b", Internal: true})
	w.run(request.SandboxConfig{Name: "s", Networks: on("m"), Publish: []string{"80"}})
	number := w.view("s").Published[0].HostPort
	for _, step := range []struct {
		do   func() error
		want string
	}{
		{func() error { return w.Connect(ctx, "s", request.EndpointSettings{Network: "b"}) }, "m"},
		{func() error { return w.Connect(ctx, "s", request.EndpointSettings{Network: "a"}) }, "a"},
		{func() error { return w.Disconnect(ctx, "a", "s", false) }, "m"},
		{func() error { return w.Connect(ctx, "s", request.EndpointSettings{Network: "a", GwPriority: -1}) }, "m"},
		{func() error { return w.Disconnect(ctx, "m", "s", false) }, "a"},
	} {
		must(t, step.do())
		v := w.view("s")
		for _, ep := range v.Endpoints {
			if ep.Default4 != (ep.NetworkName == step.want) {
				t.Errorf("default route on %s, want it on %s", ep.NetworkName, step.want)
			}
			if has := len(w.fake.portsOf(ep.ID)) > 0; has != ep.Default4 {
				t.Errorf("ports on %s: %t, want them with the default route", ep.NetworkName, has)
			}
		}
		if got := v.Published[0].HostPort; got != number {
			t.Errorf("host port became %d, want %d as before", got, number)
		}
	}
	w.stored()
}

func TestConflicts(t *testing.T) {
	w := newWorld(t)
	n := w.network(request.NetworkCreate{Name: "n", IPAM: []request.IPAMConfig{{Subnet: netip.MustParsePrefix("10.99.0.0/24")}}})
	mac := model.MAC{2, 0, 0, 0, 0, 9}
	first := request.EndpointSettings{Network: "n", IPv4: netip.MustParseAddr("10.99.0.9"), MAC: mac}
	w.run(request.SandboxConfig{Name: "s", Networks: []request.EndpointSettings{first}, Publish: []string{"18082:80"}})
	w.run(request.SandboxConfig{Name: "guest", Networks: on("container:s")})
	before := w.snapshot()
	run := func(c request.SandboxConfig) error {
		_, _, err := w.Run(ctx, request.Run{SandboxConfig: c, Command: []string{"true"}}, nil)
		return err
	}
	create := func(r request.NetworkCreate) error { _, err := w.CreateNetwork(ctx, r); return err }
	for _, c := range []struct {
		err  error
		kind error
		text string
	}{
		{run(request.SandboxConfig{Name: "s"}), request.ErrConflict, `"s"`},
		{run(request.SandboxConfig{Networks: on("nope")}), request.ErrNotFound, "nope"},
		{run(request.SandboxConfig{Networks: on("container:nope")}), request.ErrNotFound, "nope"},
		{run(request.SandboxConfig{Networks: on("container:guest")}), request.ErrConflict, "guest"},
		{run(request.SandboxConfig{Networks: on("container:s"), Publish: []string{"80"}}), request.ErrInvalid, "published ports"},
		{run(request.SandboxConfig{Publish: []string{"18082:80"}}), request.ErrConflict,
			"bind for 0.0.0.0:18082 failed: port is already allocated (sandbox s)"},
		{run(request.SandboxConfig{Publish: []string{"203.0.113.1:1:80"}}), request.ErrInvalid, "203.0.113.1"},
		{run(request.SandboxConfig{Networks: []request.EndpointSettings{{Network: "n", IPv4: first.IPv4}}}), request.ErrConflict, "10.99.0.9"},
		{run(request.SandboxConfig{Networks: []request.EndpointSettings{{Network: "n", IPv4: netip.MustParseAddr("10.98.0.9")}}}), request.ErrInvalid, "10.98.0.9"},
		{run(request.SandboxConfig{Networks: []request.EndpointSettings{{Network: "n", MAC: mac}}}), request.ErrConflict, mac.String()},
		{run(request.SandboxConfig{Networks: []request.EndpointSettings{{Network: "bridge", Aliases: []string{"x"}}}}), request.ErrInvalid, "aliases"},
		{run(request.SandboxConfig{Links: []model.Link{{Sandbox: "nope", Alias: "x"}}}), request.ErrNotFound, "nope"},
		{create(request.NetworkCreate{Name: "n"}), request.ErrConflict, "n already exists"},
		{create(request.NetworkCreate{Name: "host"}), request.ErrConflict, "host"},
		{create(request.NetworkCreate{Name: "o", IPAM: []request.IPAMConfig{{Subnet: netip.MustParsePrefix("10.99.0.128/25")}}}), request.ErrConflict, `"n"`},
		{create(request.NetworkCreate{Name: "o", Options: map[string]string{model.OptBridgeName: n.Bridge.Name}}), request.ErrConflict, n.Bridge.Name},
		{w.RemoveNetwork(ctx, "n"), request.ErrConflict, "has active endpoints"},
		{w.RemoveNetwork(ctx, "bridge"), request.ErrInvalid, "pre-defined"},
		{w.Connect(ctx, "s", request.EndpointSettings{Network: "n"}), request.ErrConflict, "already attached"},
		{w.Connect(ctx, "guest", request.EndpointSettings{Network: "n"}), request.ErrConflict, "guest"},
		{w.Disconnect(ctx, "bridge", "s", false), request.ErrConflict, "not connected"},
		{w.Remove(ctx, "s", false), request.ErrConflict, "running"},
	} {
		if !errors.Is(c.err, c.kind) || !strings.Contains(c.err.Error(), c.text) {
			t.Errorf("got %v, want %q of kind %v", c.err, c.text, c.kind)
		}
	}
	w.unchanged(before)
}

func TestAddedNamespace(t *testing.T) {
	w := newWorld(t)
	w.network(request.NetworkCreate{Name: "n"})
	before := w.snapshot()
	path := w.namespace("vm")
	v, err := w.Add(ctx, request.Add{SandboxConfig: request.SandboxConfig{Name: "vm", Networks: on("n")}, Netns: path})
	must(t, err)
	if v.State.Pid != 0 || !v.Adopted || v.State.Status != model.StatusRunning {
		t.Errorf("view %+v", v)
	}
	_, err = w.Add(ctx, request.Add{SandboxConfig: request.SandboxConfig{Name: "vm2"}, Netns: path})
	if !errors.Is(err, request.ErrConflict) {
		t.Errorf("adopted twice: %v", err)
	}
	must(t, w.Remove(ctx, "vm", true))
	w.unchanged(before)
	if err := netns.Check(path); err != nil {
		t.Errorf("adopted namespace did not outlive its sandbox: %v", err)
	}
}

func TestAddedNamespaceThatVanishes(t *testing.T) {
	w := newWorld(t)
	path := w.namespace("vm")
	v, err := w.Add(ctx, request.Add{SandboxConfig: request.SandboxConfig{Name: "vm"}, Netns: path})
	must(t, err)
	must(t, netns.Delete(path))
	eventually(t, "sandbox exited", func() bool { return w.view("vm").State.Status == model.StatusExited })
	if ep := w.fake.endpoint(v.Endpoints[0].ID); ep.ID != "" {
		t.Errorf("datapath still has %+v", ep)
	}
	w.stored()
}

func TestLostDevicesAreMadeAgain(t *testing.T) {
	w := newWorld(t)
	n := w.network(request.NetworkCreate{Name: "n"})
	v := w.run(request.SandboxConfig{Name: "s", Networks: on("n")})
	ep := v.Endpoints[0]
	index := w.fake.endpoint(ep.ID).HostIndex
	must(t, w.links.Delete(ep.HostIf, ep.ID))
	eventually(t, "interface made again", func() bool {
		now := w.fake.endpoint(ep.ID).HostIndex
		return now != 0 && now != index
	})
	must(t, w.links.Delete(n.Bridge.Name, n.ID))
	eventually(t, "bridge made again, interface on it", func() bool {
		br, err := w.links.Find(n.Bridge.Name)
		if err != nil {
			return false
		}
		dev, err := w.links.Find(ep.HostIf)
		return err == nil && dev.Master == br.Index
	})
}

// A device that somebody set down, or took the addresses of, is as dead as one that is
// gone.
func TestDevicesAreSetUpAgain(t *testing.T) {
	w := newWorld(t)
	n := w.network(request.NetworkCreate{Name: "n"})
	ep := w.run(request.SandboxConfig{Name: "s", Networks: on("n")}).Endpoints[0]
	for _, name := range []string{ep.HostIf, n.Bridge.Name} {
		before, err := w.links.Find(name)
		must(t, err)
		l, err := netlink.LinkByName(name)
		must(t, err)
		must(t, netlink.LinkSetDown(l))
		eventually(t, name+" up again", func() bool {
			now, err := w.links.Find(name)
			return err == nil && now == before
		})
	}
	br, err := netlink.LinkByName(n.Bridge.Name)
	must(t, err)
	addrs, err := netlink.AddrList(br, netlink.FAMILY_V4)
	must(t, err)
	must(t, netlink.AddrDel(br, &addrs[0]))
	eventually(t, "the gateway's address", func() bool {
		addrs, err := netlink.AddrList(br, netlink.FAMILY_V4)
		return err == nil && len(addrs) == 1
	})
}

func TestLinksOnTheDefaultNetwork(t *testing.T) {
	w := newWorld(t)
	w.run(request.SandboxConfig{Name: "db", Expose: []string{"5432"}, Hostname: "dbhost"})
	app := w.run(request.SandboxConfig{Name: "app", Links: []model.Link{{Sandbox: "db", Alias: "store"}}})
	db := w.view("db").Endpoints[0]
	if links := w.fake.endpoint(app.Endpoints[0].ID).Links; len(links) != 1 || links[0].IPv4 != db.IPv4.Addr() {
		t.Errorf("links %+v, want one to %s", links, db.IPv4)
	}
	hosts, err := os.ReadFile(w.boxes.Files(app.ID).Hosts)
	must(t, err)
	if want := db.IPv4.Addr().String() + "\tstore dbhost db\n"; !strings.Contains(string(hosts), want) {
		t.Errorf("hosts lacks %q:\n%s", want, hosts)
	}
	must(t, w.Stop(ctx, "db", request.Stop{}))
	if links := w.fake.endpoint(app.Endpoints[0].ID).Links; len(links) != 0 {
		t.Errorf("links %+v after the end of db", links)
	}
}

// The datapath failed in the middle of following the host, which then is again what
// it was before: what was done of it is taken back.
func TestDatapathThatFailedIsToldAgain(t *testing.T) {
	w := newWorld(t)
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	own := netip.MustParsePrefix("192.0.2.78/32")
	address := &netlink.Addr{IPNet: &net.IPNet{IP: own.Addr().AsSlice(), Mask: net.CIDRMask(32, 32)}}
	told := func() bool { return slices.Contains(w.fake.hostNow().Addresses, own.Addr()) }
	w.fake.setFailHost(true)
	must(t, netlink.AddrAdd(lo, address))
	eventually(t, "the datapath to be told of the address", told)
	must(t, netlink.AddrDel(lo, address))
	w.fake.setFailHost(false)
	eventually(t, "the datapath to be told that it went", func() bool { return !told() })
}

// An uplink is said to have come once, when the datapath has been told; names that no
// device has are refused.
func TestUplinksAreToldAfterSuccess(t *testing.T) {
	w := newWorld(t)
	must(t, w.SetUplinks(ctx, []string{"lo"}))
	if err := w.SetUplinks(ctx, []string{"nope", "nope2"}); !errors.Is(err, ErrNoUplink) {
		t.Errorf("uplinks that aren't there: %v", err)
	}
	must(t, w.SetUplinks(ctx, []string{"lo", "nope"}))
	if now := uplinkNames(w.fake.hostNow()); !slices.Equal(now, []string{"lo"}) {
		t.Errorf("uplinks are %q, want lo", now)
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "fwup"}, PeerName: "fwup-peer"}
	must(t, netlink.LinkAdd(veth))
	defer func() { must(t, netlink.LinkDel(veth)) }()
	before := w.logged.count("uplink added")
	w.fake.setFailHost(true)
	for range 3 {
		if err := w.SetUplinks(ctx, []string{"lo", "fwup"}); err == nil {
			t.Fatal("the datapath failed, and SetUplinks didn't")
		}
	}
	if n := w.logged.count("uplink added") - before; n != 0 {
		t.Errorf("an uplink was said to be added %d times, of which the datapath doesn't know", n)
	}
	w.fake.setFailHost(false)
	must(t, w.SetUplinks(ctx, []string{"lo", "fwup"}))
	if n := w.logged.count("uplink added") - before; n != 1 {
		t.Errorf("an uplink was said to be added %d times, want once", n)
	}
}

// The datapath was told of a moment in which the host was another; when the host has
// been again what it was before, an event that changes nothing else corrects that.
func TestDatapathIsToldWhatTheHostIsNow(t *testing.T) {
	w := newWorld(t)
	lo, err := netlink.LinkByName("lo")
	must(t, err)
	own := netip.MustParsePrefix("192.0.2.77/32")
	address := &netlink.Addr{IPNet: &net.IPNet{IP: own.Addr().AsSlice(), Mask: net.CIDRMask(32, 32)}}
	must(t, netlink.AddrAdd(lo, address))
	defer func() { must(t, netlink.AddrDel(lo, address)) }()
	told := func() bool { return slices.Contains(w.fake.hostNow().Addresses, own.Addr()) }
	eventually(t, "the datapath to know the address", told)

	w.hostLook.Lock()
	w.facts.host.Store(new(model.Host))
	must(t, w.fake.EnsureHost(ctx, model.Host{}))
	w.hostLook.Unlock()
	must(t, netlink.AddrReplace(lo, address))
	eventually(t, "the datapath to know the address again", told)
}
