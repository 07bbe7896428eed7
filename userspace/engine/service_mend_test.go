// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// published asks for a port of the host.
func published(r *request.ServiceCreate) { r.Publish = []string{"127.0.0.1:18085:80"} }

// TestServiceWhoseRemovalIsNotSaved is as it was: its port is reserved all the time.
func TestServiceWhoseRemovalIsNotSaved(t *testing.T) {
	w := newWorld(t)
	n := w.front()
	w.server("a")
	v := w.serve("shop", published)
	before := w.snapshot()
	w.unsaved(func() {
		if err := w.RemoveService(ctx, "shop"); err == nil {
			t.Error("removed, though that can't be saved")
		}
		if w.ports.Len() != before.Ports {
			t.Errorf("%d ports are reserved, want %d", w.ports.Len(), before.Ports)
		}
		eventually(t, "the service is mended", func() bool {
			return w.onDevice(n, v.Networks[0].IPv4) && w.fake.service(v.ID).ID == v.ID
		})
	})
	eventually(t, "no trouble is left", func() bool { return len(w.Wanted.Degraded()) == 0 })
	w.unchanged(before)
	must(t, w.RemoveService(ctx, "shop"))
	if w.ports.Len() != 0 || w.onDevice(n, v.Networks[0].IPv4) {
		t.Errorf("left: %d ports, address on the device: %v", w.ports.Len(), w.onDevice(n, v.Networks[0].IPv4))
	}
}

// TestMendOfServiceWaits has a mend that is due find the service being edited.
func TestMendOfServiceWaits(t *testing.T) {
	w := newWorld(t)
	n := w.front()
	v := w.serve("shop", asItIs)
	vip := v.Networks[0].IPv4
	s := w.state.service(v.ID)
	unlock := w.locks.sandbox(s.ID, serviceNetworkIDs(s)...)
	w.mendService(s, errInjected)
	must(t, w.takeDownService(ctx, s))
	eventually(t, "the mend is under way", func() bool {
		w.locks.mu.Lock()
		defer w.locks.mu.Unlock()
		return w.locks.entries[lockKey{id: s.ID}].users == 2
	})
	if w.onDevice(n, vip) || w.fake.service(v.ID).ID != "" {
		t.Error("mended while it is being edited")
	}
	must(t, w.commit(change{goneServices: []*model.Service{s}}))
	unlock()
	eventually(t, "nothing is to be mended", func() bool { return len(w.Wanted.Degraded()) == 0 })
	if w.onDevice(n, vip) || w.fake.service(v.ID).ID != "" {
		t.Error("a service that is gone was mended")
	}
	w.releaseVIPs(s)
}

// TestServiceOfNetworkThatWent is refused, with an address or without.
func TestServiceOfNetworkThatWent(t *testing.T) {
	w := newWorld(t)
	n := w.front()
	must(t, w.RemoveNetwork(ctx, "front"))
	for _, mode := range []model.EndpointMode{model.EndpointModeVIP, model.EndpointModeDNSRR} {
		s := &model.Service{ID: newID(), Name: "late", EndpointMode: mode, Networks: []model.ServiceNetwork{{NetworkID: n.ID}}}
		req := ofWeb("late", asItIs)
		if err := w.makeService(ctx, s, &req); !errors.Is(err, request.ErrNotFound) {
			t.Errorf("%s: %v", mode, err)
		}
	}
	w.stored()
}

// Of a service and a sandbox that are made at once under one name, on one network, one is made:
// each sees the other before it is stored.
func TestNameOfWhatIsBeingMade(t *testing.T) {
	w := newWorld(t)
	n := w.front()
	shop := &model.Service{Name: "Shop", Networks: []model.ServiceNetwork{{NetworkID: n.ID}}}
	on := func(aliases ...string) []join {
		return []join{{n.ID, request.EndpointSettings{Network: "front", Aliases: aliases}}}
	}
	release, err := w.state.claimService(shop)
	must(t, err)
	for sandbox, joins := range map[string][]join{"shop": on(), "a": on("b", "SHOP")} {
		if _, err := w.state.claimNames(sandbox, joins); !errors.Is(err, request.ErrConflict) {
			t.Errorf("sandbox %s may have the name of a service to come: %v", sandbox, err)
		}
	}
	release()
	first, err := w.state.claimNames("a", on("shop"))
	must(t, err)
	second, err := w.state.claimNames("b", on("shop"))
	must(t, err)
	first()
	if _, err := w.state.claimService(shop); !errors.Is(err, request.ErrConflict) {
		t.Errorf("a service may have an alias of a sandbox to come: %v", err)
	}
	second()
	release, err = w.state.claimService(shop)
	must(t, err)
	release()
	if len(w.state.claimed) != 0 {
		t.Errorf("claims are left: %v", w.state.claimed)
	}
}

// Whoever is first, and however the two meet.
func TestServiceAndSandboxAtOnce(t *testing.T) {
	w := newWorld(t)
	w.front()
	for range 20 {
		results := make(chan error, 2)
		go func() {
			_, err := w.CreateService(ctx, ofWeb("shop", asItIs))
			results <- err
		}()
		go func() {
			at := request.SandboxConfig{Name: "shop", Networks: []request.EndpointSettings{{Network: "front"}}}
			_, _, err := w.Run(ctx, request.Run{SandboxConfig: at, Command: []string{"sleep", "1000"}}, nil)
			results <- err
		}()
		if a, b := <-results, <-results; (a == nil) == (b == nil) {
			t.Fatalf("of a service and a sandbox with one name: %v and %v, want one of both", a, b)
		}
		if w.RemoveService(ctx, "shop") != nil {
			must(t, w.Remove(ctx, "shop", true))
		}
	}
}

// TestAddressThatStaysOnTheDevice is nobody else's until it is off.
func TestAddressThatStaysOnTheDevice(t *testing.T) {
	w := newWorld(t)
	n := w.front()
	vip := netip.MustParseAddr("10.77.0.200")
	w.stuck.Store(true)
	w.fake.failNext(1)
	_, err := w.CreateService(ctx, ofWeb("shop", func(r *request.ServiceCreate) { r.IPv4 = vip }))
	w.fake.failNext(0)
	if !errors.Is(err, errInjected) {
		t.Fatalf("created: %v", err)
	}
	if len(w.Wanted.Degraded()) == 0 {
		t.Error("an address that stays is no trouble")
	}
	at := request.SandboxConfig{Name: "a", Networks: []request.EndpointSettings{{Network: "front", IPv4: vip}}}
	if _, _, err := w.Run(ctx, request.Run{SandboxConfig: at, Command: []string{"true"}}, nil); !errors.Is(err, request.ErrConflict) {
		t.Errorf("a sandbox got the address: %v", err)
	}
	w.stuck.Store(false)
	eventually(t, "the address is off", func() bool { return !w.onDevice(n, vip) && len(w.Wanted.Degraded()) == 0 })
	w.run(at)
}

// TestAddressOfServiceIsNotReleased by an endpoint that had it once.
func TestAddressOfServiceIsNotReleased(t *testing.T) {
	w := newWorld(t)
	n := w.front()
	vip := w.serve("shop", asItIs).Networks[0].IPv4
	w.releaseAddress(n.ID, vip)
	_, err := w.CreateService(ctx, ofWeb("other", func(r *request.ServiceCreate) { r.IPv4 = vip }))
	if !errors.Is(err, request.ErrConflict) {
		t.Errorf("the address was given twice: %v", err)
	}
	if all := w.state.vipsOn(n.ID); !slices.Contains(all, vip) {
		t.Errorf("addresses: %v", all)
	}
}

// TestServicesOfNetworkMadeAnew are told again, though the first attempt at the network fails
// when its device is there already.
func TestServicesOfNetworkMadeAnew(t *testing.T) {
	w := newWorld(t)
	n := w.front()
	v := w.serve("shop", asItIs)
	dev, err := w.links.Find(n.Device())
	must(t, err)
	w.stuck.Store(true)
	must(t, w.links.Delete(n.Device(), n.ID))
	w.mendNetwork(ctx, w.state.network(n.ID))
	eventually(t, "the device is another one", func() bool {
		now, err := w.links.Find(n.Device())
		return err == nil && now.Index != dev.Index && len(w.Wanted.Degraded()) > 0
	})
	w.fake.takeLog()
	w.stuck.Store(false)
	told := false
	eventually(t, "the service is told again", func() bool {
		told = told || slices.Contains(w.fake.takeLog(), "service shop")
		return told && len(w.Wanted.Degraded()) == 0
	})
	if !w.onDevice(n, v.Networks[0].IPv4) {
		t.Error("the service's address isn't on the new device")
	}
}
