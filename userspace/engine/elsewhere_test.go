// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/store"
)

// An endpoint of another host has no sandbox and no device here, and is nobody's to
// remove for that: it keeps its address and its network.
func TestEndpointElsewhere(t *testing.T) {
	w := newWorld(t)
	n := w.network(request.NetworkCreate{Name: "n", IPAM: []request.IPAMConfig{{Subnet: netip.MustParsePrefix("10.92.0.0/29")}}})
	there := model.Endpoint{
		ID: newID(), NetworkID: n.ID, SandboxID: newID(), Host: "lorry",
		IPv4: netip.MustParsePrefix("10.92.0.2/29"), MAC: model.MAC{2, 0x42, 10, 92, 0, 2},
	}
	lost := there
	lost.ID, lost.Host, lost.IPv4 = newID(), "", netip.MustParsePrefix("10.92.0.3/29")
	must(t, w.store.Update(func(tx *store.Tx) error { return errors.Join(tx.PutEndpoint(&there), tx.PutEndpoint(&lost)) }))
	known := func(when string) {
		t.Helper()
		if w.state.endpoints[there.ID] == nil || w.state.endpoints[lost.ID] != nil {
			t.Errorf("%s: endpoints %v, want the one that lives elsewhere", when, w.state.endpoints)
		}
	}

	w.restart()
	known("after a restart")
	w.tendDevices(w.running)
	known("after a look at the devices")

	v := w.run(request.SandboxConfig{Name: "a", Networks: on("n")})
	if got := v.Endpoints[0].IPv4.Addr(); got == there.IPv4.Addr() {
		t.Errorf("its address was given to another: %s", got)
	}
	if _, _, err := w.Run(t.Context(), request.Run{Command: []string{"true"}, SandboxConfig: request.SandboxConfig{
		Networks: []request.EndpointSettings{{Network: "n", MAC: there.MAC}},
	}}, nil); !errors.Is(err, request.ErrConflict) {
		t.Errorf("its MAC was given to another: %v", err)
	}
	must(t, w.Remove(t.Context(), "a", true))
	if err := w.RemoveNetwork(t.Context(), "n"); !errors.Is(err, request.ErrConflict) || !strings.Contains(err.Error(), "on lorry") {
		t.Errorf("its network was removed: %v", err)
	}
	known("after another one's life")
	w.restart()
	known("after another restart")
	w.stored()

	view, err := w.Network(t.Context(), "n")
	must(t, err)
	if len(view.Endpoints) != 1 || view.Endpoints[0].Host != "lorry" {
		t.Errorf("shown as %+v", view.Endpoints)
	}
	if s, err := w.Status(t.Context()); err != nil || s.Endpoints != 0 {
		t.Errorf("%d endpoints are said to be here, %v", s.Endpoints, err)
	}
}

// Nothing needs to be known here of the sandbox of another host's endpoint, to keep its MAC
// from being given away, nor to forget it with its network.
func TestEndpointElsewhereWithoutSandbox(t *testing.T) {
	w := newWorld(t)
	n := w.network(request.NetworkCreate{Name: "n", IPAM: []request.IPAMConfig{{Subnet: netip.MustParsePrefix("10.92.0.0/29")}}})
	there := model.Endpoint{
		ID: newID(), NetworkID: n.ID, Host: "lorry",
		IPv4: netip.MustParsePrefix("10.92.0.2/29"), MAC: model.MAC{2, 0x42, 10, 92, 0, 2},
	}
	must(t, w.store.Update(func(tx *store.Tx) error { return tx.PutEndpoint(&there) }))
	w.restart()
	_, _, err := w.Run(t.Context(), request.Run{Command: []string{"true"}, SandboxConfig: request.SandboxConfig{
		Networks: []request.EndpointSettings{{Network: "n", MAC: there.MAC}},
	}}, nil)
	if want := "mac address 02:42:0a:5c:00:02: already in use by endpoint " + shortID(there.ID) + " on host lorry on network n"; err == nil ||
		!errors.Is(err, request.ErrConflict) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	must(t, w.Uninstall(t.Context(), true, func(string) {}))
	w.gate.open() // for the world's own uninstall
	if left := w.state.endpoints; len(left) != 0 {
		t.Errorf("endpoints of purged networks are left: %v", left)
	}
	stored, err := w.store.Load()
	if err != nil || len(stored.Endpoints) != 0 {
		t.Errorf("endpoints of purged networks are stored: %v, %v", stored.Endpoints, err)
	}
}
