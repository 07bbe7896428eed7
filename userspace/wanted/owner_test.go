// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"errors"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// A fourth owner is a client like any other: it says what it wants, its leftovers go when
// it has said all, and only they; what it wants stays when others have said all. What is
// about a device that is gone goes at once.
func TestFourthOwner(t *testing.T) {
	const bridge, former, dockers, nowhere = 10, 11, 20, 21
	k := &kernel{
		left: map[int]bool{bridge: true, former: true, dockers: true, nowhere: true},
		owned: []link.Device{
			{Name: "br-pods", Index: bridge, Owner: "pods"}, {Name: "br-gone", Index: former, Owner: "gone"},
		},
		others: []link.Device{{Name: "docker0", Index: dockers}},
	}
	s := newState(t, k, time.Hour)
	own := owner(t, s, model.OwnerFairway, Options{})
	docker := owner(t, s, model.OwnerDocker, Options{Foreign: true})
	cni := owner(t, s, "cni", Options{})
	cni.ExpectNetwork(network("pods", "10.9.0.0/16", 0))
	ctx := t.Context()

	own.SaidAll(ctx, false)
	if got := k.leftovers(); got != "10 11 20 br-gone br-pods" {
		t.Errorf("one owner has said all, left are %s", got)
	}
	if err := cni.PutNetwork(ctx, network("pods", "10.9.0.0/16", bridge)); err != nil {
		t.Fatal(err)
	}
	if err := cni.PutEndpoint(ctx, endpoint("pod", "pods", 12).Endpoint); err != nil {
		t.Fatal(err)
	}
	if !s.Owns("br-pods") || s.Owns("eth0") {
		t.Error("the wrong devices lead to containers")
	}
	said(t, k, "by edits", "network pods, endpoint pod on 12")

	cni.SaidAll(ctx, false)
	if got := k.leftovers(); got != "20 br-pods" {
		t.Errorf("all of Fairway's have said all, left are %s", got)
	}
	docker.SaidAll(ctx, false)
	if got := k.leftovers(); got != "br-pods" {
		t.Errorf("everybody has said all, left are %s", got)
	}
	last := k.pruned[len(k.pruned)-1]
	if len(k.pruned) != 3 || last.Spare != nil || len(last.Networks) != 1 || len(last.Endpoints) != 1 {
		t.Errorf("pruned %d times, last down to %+v", len(k.pruned), last)
	}

	if err := own.PutNetwork(ctx, network("other", "10.9.8.0/24", 30)); err == nil ||
		err.Error() != "network other: subnet 10.9.8.0/24 overlaps with 10.9.0.0/16 of network pods" {
		t.Errorf("overlap: %v", err)
	}
	if err := cni.DeleteEndpoint(ctx, "pod"); err != nil {
		t.Fatal(err)
	}
	if err := cni.DeleteNetwork(ctx, "pods"); err != nil {
		t.Fatal(err)
	}
	if err := own.PutNetwork(ctx, network("other", "10.9.8.0/24", 30)); err != nil {
		t.Errorf("after the other's end: %v", err)
	}
	said(t, k, "after all", "no endpoint pod, no network pods, network other")
	s.Stop()
	if err := cni.PutNetwork(ctx, network("late", "10.10.0.0/16", 31)); !errors.Is(err, ErrStopped) {
		t.Errorf("after the stop: %v", err)
	}
}

// Of two stored networks that overlap the first one works that is put, and the other one
// after its end.
func TestStoredOverlap(t *testing.T) {
	k := &kernel{}
	s := newState(t, k, time.Hour)
	own := owner(t, s, model.OwnerFairway, Options{})
	a, b := network("a", "10.1.0.0/16", 1), network("b", "10.1.2.0/24", 2)
	own.ExpectNetwork(a)
	own.ExpectNetwork(b)
	if err := own.PutNetwork(t.Context(), b); err != nil {
		t.Error(err)
	}
	if err := own.PutNetwork(t.Context(), a); !errors.Is(err, request.ErrConflict) {
		t.Errorf("the second one: %v", err)
	}
	if err := own.DeleteNetwork(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if err := own.PutNetwork(t.Context(), a); err != nil {
		t.Error(err)
	}
}

// A refused edit is the owner's to take back; another that left something wanted has it
// told again by Mend only.
func TestRefusedEdit(t *testing.T) {
	k := &kernel{}
	s := newState(t, k, time.Hour)
	own := owner(t, s, model.OwnerFairway, Options{})
	k.refuse("network n")
	if err := own.PutNetwork(t.Context(), network("n", "10.1.0.0/16", 1)); !errors.Is(err, errRefused) {
		t.Errorf("got %v", err)
	}
	if d := s.Degraded(); len(d) != 0 {
		t.Errorf("degraded: %q", d)
	}
	if err := own.DeleteNetwork(t.Context(), "n"); err != nil {
		t.Error(err)
	}
	if s.Owns("br-n") {
		t.Error("a network that was taken back is wanted")
	}
}

// What the old datapath has to know of sandboxes is said before it goes. What the present
// one has to be told again depends on what there is after that, which isn't known here.
func TestRetire(t *testing.T) {
	k, old := &kernel{}, &kernel{}
	s := newState(t, k, time.Hour)
	own := owner(t, s, model.OwnerFairway, Options{})
	ctx := t.Context()
	for _, err := range []error{
		s.EnsureHost(ctx, model.Host{}), own.PutNetwork(ctx, network("n", "10.1.0.0/16", 1)),
		own.PutResolver(ctx, datapath.Resolver{SandboxID: "s"}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	k.take()
	if err := s.Retire(ctx, old); err != nil {
		t.Fatal(err)
	}
	said(t, old, "to the old one", "resolver s, uninstall")
	said(t, k, "to the present one", "")
}
