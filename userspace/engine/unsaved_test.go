// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/store"
)

// fixed is a sandbox on network n with an address that the user asked for.
func fixed(name string) request.SandboxConfig {
	return request.SandboxConfig{Name: name, Networks: []request.EndpointSettings{{Network: "n", IPv4: netip.MustParseAddr("10.99.0.9")}}}
}

func newFixedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.network(request.NetworkCreate{Name: "n", IPAM: []request.IPAMConfig{{Subnet: netip.MustParsePrefix("10.99.0.0/24")}}})
	return w
}

// The disk was full when a sandbox ended and had room again when it was removed: the
// record of its endpoint is left alone, and keeps nothing.
func TestEndpointWithoutSandbox(t *testing.T) {
	w := newFixedWorld(t)
	ep := w.run(fixed("a")).Endpoints[0].Endpoint
	must(t, w.Remove(ctx, "a", true))
	astray := ep
	astray.ID, astray.NetworkID = newID(), newID()
	before := w.snapshot()
	w.shut()
	edit(t, w, func(tx *store.Tx) error { return errors.Join(tx.PutEndpoint(&ep), tx.PutEndpoint(&astray)) })
	w.open()
	w.unchanged(before)
	w.run(fixed("b"))
	must(t, w.Remove(ctx, "b", true))
	must(t, w.RemoveNetwork(ctx, "n"))
}

// The disk was full when a sandbox ended, and another one got its address: the next
// start ends the first again, and the address stays the other's.
func TestAddressOfAnEndThatWasNotSaved(t *testing.T) {
	w := newFixedWorld(t)
	a := w.run(fixed("a"))
	must(t, w.Remove(ctx, "a", true))
	w.run(fixed("b"))
	w.shut()
	edit(t, w, func(tx *store.Tx) error {
		return errors.Join(tx.PutSandbox(&a.Sandbox), tx.PutEndpoint(&a.Endpoints[0].Endpoint))
	})
	w.open()
	if got := w.view("a").State.Status; got != model.StatusExited {
		t.Errorf("a is %s, want it exited", got)
	}
	_, _, err := w.Run(ctx, request.Run{SandboxConfig: fixed("c"), Command: []string{"true"}}, nil)
	if !errors.Is(err, request.ErrConflict) {
		t.Errorf("c got b's address: %v, want a conflict", err)
	}
	w.stored()
}
