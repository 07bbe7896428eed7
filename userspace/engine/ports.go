// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/ports"
	"github.com/fairway-project/fairway/userspace/request"
)

// publish reserves the host ports of sb for the gateways g, given those that it
// holds, and returns what it holds then. Numbers that can stay do. u goes back
// to what was held.
func (e *Engine) publish(sb *model.Sandbox, held []model.PublishedPort, g policy.Gateways, u *undo) ([]model.PublishedPort, error) {
	return e.reservePorts(portOwner{sb.ID, "sandbox", sb.Name}, held, publications(sb, g, ports.ListensIPv6()), u)
}

// portOwner is who has ports: a sandbox or a service.
type portOwner struct{ id, kind, name string }

// reservePorts is publish for publications that are known already.
func (e *Engine) reservePorts(o portOwner, held []model.PublishedPort, pubs []publication, u *undo) ([]model.PublishedPort, error) {
	kept, released, missing := keep(held, pubs)
	if len(released) == 0 && len(missing) == 0 {
		return kept, nil
	}
	u.add(func() error { e.holdOnly(o, held); return nil })
	e.holdOnly(o, kept)
	added, err := e.allocatePorts(o.id, missing)
	if isTaken(err) && len(kept) > 0 {
		// A number that was kept is taken in the other family: new ones for all.
		e.ports.Release(o.id)
		kept = nil
		added, err = e.allocatePorts(o.id, pubs)
	}
	if err != nil {
		return nil, portKind(e.namePortOwner(err))
	}
	return append(kept, added...), nil
}

func (e *Engine) allocatePorts(owner string, pubs []publication) ([]model.PublishedPort, error) {
	return e.ports.Allocate(owner, explicitSpecs(pubs), ports.Families{IPv4: true, IPv6: true}, netip.Addr{})
}

// holdOnly makes the reservations of o be exactly these.
func (e *Engine) holdOnly(o portOwner, want []model.PublishedPort) {
	if slices.Equal(e.ports.Published(o.id), want) {
		return
	}
	e.ports.Release(o.id)
	for _, f := range e.ports.Restore(o.id, want) {
		e.log.Warn("published port is not reserved on the host", o.kind, o.name, "err", f)
	}
}

func isTaken(err error) bool {
	return errors.Is(err, ports.ErrAllocated) || errors.Is(err, ports.ErrInUse)
}

// namePortOwner adds to the refusal of a port which sandbox or service has it.
func (e *Engine) namePortOwner(err error) error {
	var taken *ports.TakenError
	if !errors.As(err, &taken) || taken.Owner == "" {
		return err
	}
	if s := e.state.service(taken.Owner); s != nil {
		return fmt.Errorf("%w (service %s)", err, s.Name)
	}
	// One that is being made has no name for others yet.
	name := shortID(taken.Owner)
	if sb := e.state.sandbox(taken.Owner); sb != nil {
		name = sb.Name
	}
	return fmt.Errorf("%w (sandbox %s)", err, name)
}

func portKind(err error) error {
	switch {
	case isTaken(err), errors.Is(err, ports.ErrExhausted):
		return request.Mark(request.ErrConflict, err)
	case errors.Is(err, ports.ErrNotLocal):
		return request.Mark(request.ErrInvalid, err)
	}
	return err
}

// applyPorts tells the datapath of the published ports of all endpoints. Those
// that lose ports come first: a port that moves must not be taken away from
// its new owner.
func (e *Engine) applyPorts(ctx context.Context, sb *model.Sandbox, all []attachment) error {
	all = slices.DeleteFunc(slices.Clone(all), func(a attachment) bool { return !e.carried(a) })
	byEndpoint := derivePorts(sb, all)
	ids := slices.SortedFunc(maps.Keys(byEndpoint), func(a, b string) int {
		return len(byEndpoint[a]) - len(byEndpoint[b])
	})
	for _, id := range ids {
		if err := e.owner.PutPorts(ctx, id, byEndpoint[id]); err != nil {
			return fmt.Errorf("sandbox %s: published ports: %w", sb.Name, err)
		}
	}
	return nil
}
