// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

// ended records that a sandbox does not run any more: its endpoints are
// released at once, as Docker does on stop. exit changes the state.
func (e *Engine) ended(ctx context.Context, sandboxID string, exit func(*model.State)) error {
	unlock := e.locks.sandbox(sandboxID, e.state.networksOf(sandboxID)...)
	defer unlock()
	sb := e.state.sandbox(sandboxID)
	if sb == nil || sb.State.Status == model.StatusExited {
		return nil
	}
	all := e.state.attachments(sandboxID)
	e.services.RemoveMember(ctx, sandboxID)
	left, err := e.disassemble(ctx, sb, all)
	e.owner.Report(endSubject(sb), err)
	err = errors.Join(left, err)
	now := *sb
	now.Published, now.Former = nil, former(all)
	now.State.Status, now.State.Pid, now.State.StartTime, now.State.Boot = model.StatusExited, 0, 0, ""
	now.State.FinishedAt = time.Now().UTC()
	if !sb.Adopted {
		now.Netns = ""
	}
	exit(&now.State)
	if err != nil {
		now.State.Error = err.Error()
	}
	c := change{sandboxes: []*model.Sandbox{&now}, goneEndpoints: endpointsOf(all)}
	if saveErr := e.persist(c); saveErr != nil {
		// The truth is that it has ended; the next start finds that out again.
		err = errors.Join(err, saveErr)
	}
	e.state.put(c)
	e.logEnd(sb, &now, all)
	e.facts.namespaces.forget(sandboxID)
	for _, a := range all {
		e.releaseAddresses(a)
	}
	return err
}

// former is what Docker's inspect goes on to show of a container that has ended.
func former(all []attachment) []model.FormerEndpoint {
	var out []model.FormerEndpoint
	for _, a := range all {
		f := model.FormerEndpoint{NetworkID: a.net.ID, Network: a.net.Name, Aliases: a.ep.Aliases, GwPriority: a.ep.GwPriority}
		if a.ep.Requested4 {
			f.IPv4 = a.ep.IPv4.Addr()
		}
		if a.ep.Requested6 {
			f.IPv6 = a.ep.IPv6.Addr()
		}
		out = append(out, f)
	}
	return out
}

// disassemble takes everything of a sandbox out of the kernel. It goes on after
// errors. Endpoints that are left are tried again, anything else is removed at the
// next start.
func (e *Engine) disassemble(ctx context.Context, sb *model.Sandbox, all []attachment) (left, err error) {
	e.unregister(all)
	err = e.stopResolver(ctx, sb.ID)
	for _, a := range all {
		left = errors.Join(left, e.withdraw(ctx, a))
	}
	e.ports.Release(sb.ID)
	if sb.Mode == model.ModeNetworks && !sb.Adopted {
		err = errors.Join(err, netns.Delete(sb.Netns))
	}
	return left, err
}

// made finds a sandbox and, if it is just being made, waits for what becomes of it.
func (e *Engine) made(ref string) (*model.Sandbox, error) {
	sb, err := e.state.findSandbox(ref)
	if err != nil || sb.State.Status != model.StatusCreated {
		return sb, err
	}
	e.locks.sandbox(sb.ID)()
	return e.state.findSandbox(sb.ID)
}

// Stop ends a sandbox's process and keeps the sandbox.
func (e *Engine) Stop(ctx context.Context, ref string, req request.Stop) error {
	sb, err := e.made(ref)
	if err != nil {
		return err
	}
	if sb.State.Status != model.StatusRunning {
		return nil
	}
	if e.processes.Has(sb.ID) {
		// What it serves now it may finish.
		e.services.Leaving(ctx, sb.ID, true)
		err := e.processes.Stop(ctx, sb.ID, req)
		if err != nil {
			e.services.Leaving(context.WithoutCancel(ctx), sb.ID, false)
		}
		return err
	}
	if sb.State.Pid != 0 {
		return unwatched(sb)
	}
	defer e.refreshLinks(ctx, sb.Name)
	// To its end, though the client may go away: nobody else would take it down.
	return e.ended(context.WithoutCancel(ctx), sb.ID, func(*model.State) {})
}

// Remove removes a sandbox; with force also one that runs.
func (e *Engine) Remove(ctx context.Context, ref string, force bool) error {
	sb, err := e.made(ref)
	if err != nil {
		return err
	}
	if sb.State.Status == model.StatusRunning && !force {
		return request.Errorf(request.ErrConflict, "cannot remove sandbox %s: it is running: stop it first or use -f", sb.Name)
	}
	if sb.State.Status == model.StatusRunning {
		if err := e.kill(ctx, sb); err != nil {
			return err
		}
	}
	if sb.State.Status == model.StatusCreated {
		// Nobody makes it any more, and it couldn't be taken back.
		return e.discard(ctx, sb)
	}
	return e.remove(sb.ID)
}

func (e *Engine) kill(ctx context.Context, sb *model.Sandbox) error {
	if e.processes.Has(sb.ID) {
		return e.processes.Kill(ctx, sb.ID)
	}
	if err := e.processes.KillMain(sb); err != nil {
		return err
	}
	defer e.refreshLinks(ctx, sb.Name)
	return e.ended(context.WithoutCancel(ctx), sb.ID, func(*model.State) {})
}

// remove forgets a sandbox that has ended, and its files. One that is gone
// already, as --rm may have done meanwhile, is no error.
func (e *Engine) remove(sandboxID string) error {
	defer e.locks.sandbox(sandboxID)()
	sb := e.state.sandbox(sandboxID)
	if sb == nil {
		return nil
	}
	if sb.State.Status == model.StatusRunning {
		return request.Errorf(request.ErrConflict, "cannot remove sandbox %s: it is running", sb.Name)
	}
	if err := e.boxes.Remove(sandboxID); err != nil {
		return err
	}
	if err := e.commit(change{goneSandboxes: []string{sandboxID}}); err != nil {
		return err
	}
	e.audit.SandboxRemoved(sb)
	e.processes.Forget(sandboxID)
	e.owner.Report(sandboxSubject(sb), nil)
	e.owner.Report(endSubject(sb), nil)
	return nil
}
