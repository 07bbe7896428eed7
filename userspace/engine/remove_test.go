// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/store"
)

// failSaves lets the engine find its disk full until the function that it returns.
func (w *world) failSaves() (mend func()) {
	w.t.Helper()
	broken, err := store.Open(filepath.Join(w.t.TempDir(), store.FileName))
	must(w.t, errors.Join(err, broken.Close()))
	w.Engine.store = broken
	return func() { w.Engine.store = w.store }
}

// A network whose removal can't be saved is there, and works.
func TestNetworkThatCannotBeRemovedWorks(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	w.network(request.NetworkCreate{Name: "n"})
	mend := w.failSaves()
	removal := w.RemoveNetwork(ctx, "n")
	uninstall := w.Uninstall(ctx, true, func(string) {})
	mend()
	if removal == nil || uninstall == nil {
		t.Fatalf("removed %v, uninstalled %v without a save", removal, uninstall)
	}
	for _, name := range []string{"n", "bridge"} {
		w.run(request.SandboxConfig{Name: "on-" + name, Networks: []request.EndpointSettings{{Network: name}}})
	}
	if all := w.Wanted.Degraded(); len(all) > 0 {
		t.Errorf("degraded: %q", all)
	}
}

// A prune goes on after a network that somebody joined meanwhile, and after one that can't
// be removed.
func TestPruneGoesOn(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		w.network(request.NetworkCreate{Name: name})
	}
	mend := func() {}
	removed, err := w.PruneNetworks(context.Background(), func(n model.Network) bool {
		switch n.Name {
		case "b":
			w.run(request.SandboxConfig{Networks: []request.EndpointSettings{{Network: "b"}}})
		case "c":
			mend = w.failSaves()
		case "d":
			mend()
		}
		return true
	})
	if !slices.Equal(removed, []string{"a", "d"}) || err == nil || errors.Is(err, request.ErrConflict) {
		t.Errorf("removed %q, %v", removed, err)
	}
}

// A sandbox that came to nothing while the disk was full can be removed, with its endpoints.
func TestSandboxThatCouldNotBeTakenBack(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	n := w.network(request.NetworkCreate{Name: "n"})
	mend := func() {}
	w.fake.onResolver = func(datapath.Resolver) { mend = w.failSaves() }
	config := request.SandboxConfig{Name: "half", Networks: []request.EndpointSettings{{Network: "n", IPv4: n.IPv4.Gateway.Next()}}}
	_, _, err := w.Run(ctx, request.Run{SandboxConfig: config, Command: []string{"sleep", "1000"}}, nil)
	w.fake.onResolver = nil
	mend()
	if left, stateErr := w.state.findSandbox("half"); err == nil || stateErr != nil || left.State.Status != model.StatusCreated {
		t.Fatalf("made %v, left %+v, %v", err, left, stateErr)
	}
	must(t, w.Remove(ctx, "half", false))
	w.run(config)
	must(t, w.Remove(ctx, "half", true))
	must(t, w.RemoveNetwork(ctx, "n"))
}

// A MAC that is made from an address may be one that a user chose for another endpoint.
func TestChosenMAC(t *testing.T) {
	w := newWorld(t)
	n := w.network(request.NetworkCreate{Name: "n"})
	first := n.IPv4.Gateway.Next()
	second := first.Next()
	chosen := policy.MAC(second, func(model.MAC) bool { return false })
	w.run(request.SandboxConfig{Networks: []request.EndpointSettings{{Network: "n", IPv4: first, MAC: chosen}}})
	v := w.run(request.SandboxConfig{Networks: []request.EndpointSettings{{Network: "n", IPv4: second}}})
	if got := v.Endpoints[0].MAC; got == chosen || got == (model.MAC{}) {
		t.Errorf("%s has %s, which the user chose for %s", second, got, first)
	}
}
