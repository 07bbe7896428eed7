// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fairway-project/fairway/userspace/driver"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// restoreSandboxes takes all over, several at a time, owners of a namespace before
// their guests.
func (e *Engine) restoreSandboxes(ctx context.Context) {
	all := e.state.bySeniority()
	guests := slices.IndexFunc(all, func(sb *model.Sandbox) bool { return sb.SharedWith != "" })
	if guests < 0 {
		guests = len(all)
	}
	// All names before the first resolver: what it doesn't know it asks the host's
	// servers for, and a peer that runs isn't to be denied.
	for _, sb := range all {
		if sb.State.Status == model.StatusRunning {
			e.register(sb, e.state.attachments(sb.ID))
		}
	}
	for _, s := range e.state.allServices() {
		e.nameService(s.ID)
	}
	restore := func(sb *model.Sandbox) error {
		e.mend(ctx, sb)
		return nil
	}
	_ = abreast(all[:guests], restore)
	_ = abreast(all[guests:], restore)
}

// mend takes a sandbox over, or makes what it lacks again, or finds that it has ended:
// now or, if that fails, later.
func (e *Engine) mend(ctx context.Context, sb *model.Sandbox) {
	_ = e.owner.Mend(ctx, sandboxSubject(sb), func(ctx context.Context) error {
		now := e.state.sandbox(sb.ID)
		if now == nil {
			return nil
		}
		return e.restoreSandbox(ctx, now)
	})
}

func sandboxSubject(sb *model.Sandbox) string { return "sandbox " + sb.Name }

// endSubject is what a sandbox's end left behind.
func endSubject(sb *model.Sandbox) string { return "end of sandbox " + sb.Name }

// restoreSandbox takes a stored sandbox over from an earlier daemon.
func (e *Engine) restoreSandbox(ctx context.Context, sb *model.Sandbox) error {
	switch sb.State.Status {
	case model.StatusExited:
		if sb.AutoRemove {
			return e.remove(sb.ID)
		}
		return nil
	case model.StatusCreated:
		// The daemon died while it made this one; its client got no answer.
		return e.discard(ctx, sb)
	}
	return e.resume(ctx, sb)
}

// resume takes over a sandbox that runs, or what is still missing of that. It has ended
// only if its namespace or its process is known to be gone; what can't be looked at just
// now lives, and is looked at again (retry).
func (e *Engine) resume(ctx context.Context, sb *model.Sandbox) error {
	if e.processes.Has(sb.ID) {
		// It ends with its process.
		return e.restoreEndpoints(ctx, sb)
	}
	why := e.lostNamespace(sb)
	if gone(why) {
		return e.lost(ctx, sb, why)
	}
	if why != nil {
		return why
	}
	if sb.Adopted {
		return e.restoreEndpoints(ctx, sb)
	}
	found := e.processes.Find(sb)
	if gone(found) {
		return e.lost(ctx, sb, found)
	}
	// Ended meanwhile or not, the endpoints are brought up first: settle takes
	// down what is there.
	err := e.restoreEndpoints(ctx, sb)
	if found == nil {
		e.watch(sb.ID)
	}
	return errors.Join(found, err)
}

// gone reports whether err says that a sandbox's namespace or process is no more. Any
// other error, as for want of memory or descriptors, says nothing about them.
func gone(err error) bool {
	return errors.Is(err, netns.ErrNotExist) || errors.Is(err, netns.ErrNotNetns) || errors.Is(err, errReplaced) ||
		errors.Is(err, sandbox.ErrFinished)
}

// lostNamespace says why the sandbox's namespace can't be used.
func (e *Engine) lostNamespace(sb *model.Sandbox) error {
	if sb.Mode != model.ModeNetworks {
		return nil
	}
	var err error
	if sb.Adopted {
		err = e.checkAdopted(sb)
	} else {
		err = e.checkOwn(sb)
	}
	if gone(err) {
		return afterReboot(sb, fmt.Errorf("namespace is gone: %w", err))
	}
	return err
}

// checkOwn returns an error if the namespace that was made for the sandbox isn't there.
func (e *Engine) checkOwn(sb *model.Sandbox) error {
	id, err := netnsID(sb.Netns)
	if err == nil {
		e.facts.namespaces.set(sb.ID, id)
	}
	return err
}

// lost records that a sandbox ended while nobody watched.
func (e *Engine) lost(ctx context.Context, sb *model.Sandbox, why error) error {
	e.log.Info("sandbox ended while nobody watched", "sandbox", sb.Name, "reason", why)
	err := e.processes.KillAll(sb)
	err = errors.Join(err, e.ended(ctx, sb.ID, func(s *model.State) {
		if !errors.Is(why, sandbox.ErrFinished) {
			s.Error = why.Error()
		}
	}))
	e.refreshLinks(ctx, sb.Name)
	if sb.AutoRemove {
		err = errors.Join(err, e.remove(sb.ID))
	}
	return err
}

// discard removes a sandbox that was never finished.
func (e *Engine) discard(ctx context.Context, sb *model.Sandbox) error {
	return errors.Join(
		e.processes.KillAll(sb),
		e.ended(ctx, sb.ID, func(*model.State) {}),
		e.remove(sb.ID),
	)
}

// restoreEndpoints makes the kernel have the endpoints of a running sandbox,
// leaving alone what is right.
func (e *Engine) restoreEndpoints(ctx context.Context, sb *model.Sandbox) error {
	defer e.locks.sandbox(sb.ID, e.state.networksOf(sb.ID)...)()
	sb, all, err := e.runningSandbox(sb.ID)
	if err != nil {
		// Ended while this waited for the lock.
		return nil
	}
	var errs []error
	remade := false
	for _, a := range all {
		before := e.facts.attached.get(a.ep.ID)
		errs = append(errs, e.restoreEndpoint(ctx, sb, a))
		remade = remade || before != 0 && e.facts.attached.get(a.ep.ID) != before
	}
	for _, f := range e.ports.Restore(sb.ID, sb.Published) {
		errs = append(errs, f)
	}
	errs = append(errs, e.connectUp(ctx, sb, all, new(undo)))
	if remade {
		e.services.TellMember(ctx, sb.ID)
	}
	return errors.Join(errs...)
}

// restoreEndpoint takes over the endpoint's interface if it is as it was made, and makes
// it again otherwise.
func (e *Engine) restoreEndpoint(ctx context.Context, sb *model.Sandbox, a attachment) error {
	if _, made := e.facts.made.find(a.net.ID); !made {
		// Its interface may be right; nobody can tell.
		return fmt.Errorf("endpoint of %s on network %s: waits for the network's device", sb.Name, a.net.Name)
	}
	d, err := e.Drivers.Find(a.net.Driver)
	if err != nil {
		return err
	}
	_, err = d.Restore(ctx, e.plug(ctx, sb, a))
	if !errors.Is(err, driver.ErrNotWhole) {
		return err
	}
	e.log.Info("interface of a sandbox is made again", "sandbox", sb.Name, "network", a.net.Name)
	if err := e.detach(ctx, a); err != nil {
		return err
	}
	return e.attach(ctx, sb, a, new(undo))
}
