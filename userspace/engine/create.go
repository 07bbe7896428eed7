// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

// Run makes a sandbox and starts its process.
func (e *Engine) Run(ctx context.Context, req request.Run, stdio *request.Stdio) (request.SandboxView, request.Process, error) {
	leave, err := e.gate.enter()
	if err != nil {
		return request.SandboxView{}, nil, err
	}
	defer leave()
	if err := req.Validate(); err != nil {
		return request.SandboxView{}, nil, err
	}
	d, err := e.plan(req.SandboxConfig)
	if err != nil {
		return request.SandboxView{}, nil, err
	}
	d.sb.Command, d.sb.AutoRemove = req.Command, req.AutoRemove
	var p request.Process
	start := func() (state model.State, err error) {
		p, state, err = e.processes.Start(d.sb, d.shared, req, stdio)
		return state, err
	}
	if err := e.create(ctx, d, start); err != nil {
		if left := e.processes.Abandon(d.sb.ID); left != nil {
			err = errors.Join(err, left)
		}
		return request.SandboxView{}, nil, err
	}
	e.watch(d.sb.ID)
	view, err := e.Sandbox(ctx, d.sb.ID)
	if err != nil {
		// Ended and removed (--rm) already.
		view, err = request.SandboxView{Sandbox: *d.sb}, nil
	}
	return view, p, err
}

// Add makes a sandbox around an existing namespace.
func (e *Engine) Add(ctx context.Context, req request.Add) (request.SandboxView, error) {
	leave, err := e.gate.enter()
	if err != nil {
		return request.SandboxView{}, err
	}
	defer leave()
	if err := req.Validate(); err != nil {
		return request.SandboxView{}, err
	}
	d, err := e.plan(req.SandboxConfig)
	if err != nil {
		return request.SandboxView{}, err
	}
	adopted, release, err := e.claimAdoptable(req.Netns)
	if err != nil {
		return request.SandboxView{}, err
	}
	defer release()
	d.sb.Netns, d.sb.Adopted = req.Netns, true
	d.sb.NetnsCookie, d.sb.NetnsBoot = adopted.cookie, adopted.boot
	start := func() (model.State, error) {
		e.facts.namespaces.set(d.sb.ID, adopted.id)
		return model.State{Status: model.StatusRunning, StartedAt: time.Now().UTC()}, nil
	}
	if err := e.create(ctx, d, start); err != nil {
		return request.SandboxView{}, err
	}
	return e.Sandbox(ctx, d.sb.ID)
}

// claimAdoptable keeps a namespace for a sandbox that is being made until release.
// It refuses what is no namespace, the host's own, and one that is a sandbox
// already.
func (e *Engine) claimAdoptable(path string) (i identity, release func(), err error) {
	i, err = identify(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return i, nil, request.Mark(request.ErrNotFound, err)
	case err != nil:
		return i, nil, request.Mark(request.ErrInvalid, err)
	}
	own, err := netnsID(ownNetns)
	if err != nil {
		return i, nil, err
	}
	if i.id == own {
		return i, nil, request.Errorf(request.ErrInvalid, "namespace %s: is the one that the daemon works in", path)
	}
	if release, err = e.state.claimNamespace(i.id); err != nil {
		return i, nil, err
	}
	if err := e.checkUnused(path, i.id); err != nil {
		release()
		return i, nil, err
	}
	return i, release, nil
}

// ownNetns is the namespace that the daemon works in, the host's.
const ownNetns = "/proc/self/ns/net"

// checkUnused refuses a namespace that is a sandbox already. Where it is known which one a
// sandbox has, the kernel isn't asked: there may be hundreds.
func (e *Engine) checkUnused(path string, id netns.ID) error {
	for _, sb := range e.state.withNamespace() {
		known, is := e.facts.namespaces.find(sb.ID)
		if is && known != id && sb.Netns != path {
			continue
		}
		if id.Is(sb.Netns) {
			return request.Errorf(request.ErrConflict, "namespace %s: belongs to sandbox %s already", path, sb.Name)
		}
	}
	return nil
}

// withNamespace lists the sandboxes that haven't ended and have a namespace, owners of one
// before their guests.
func (s *state) withNamespace() []*model.Sandbox {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var owners, guests []*model.Sandbox
	for _, sb := range s.sandboxes {
		switch {
		case sb.Netns == "" || sb.State.Status == model.StatusExited:
		case sb.SharedWith != "":
			guests = append(guests, sb)
		default:
			owners = append(owners, sb)
		}
	}
	return append(owners, guests...)
}

func netnsID(path string) (netns.ID, error) {
	ns, err := netns.Open(path)
	if err != nil {
		return netns.ID{}, err
	}
	defer ns.Close()
	return ns.ID()
}

// create carries a draft out: names, addresses and ports are allocated, the
// whole is stored, the kernel is made to have it, and start runs the process.
// Whatever fails, nothing is left.
func (e *Engine) create(ctx context.Context, d *draft, start func() (model.State, error)) (err error) {
	sb := d.sb
	name, release, err := e.state.claimSandboxName(sb.Name)
	if err != nil {
		return err
	}
	defer release()
	sb.Name = name
	if d.shared != nil {
		defer e.locks.shared(lockKey{id: d.shared.ID})()
	}
	defer e.locks.sandbox(sb.ID, networkIDs(d.joins)...)()
	var u undo
	defer u.onError(&err)
	all, err := e.reserve(d, &u)
	if err != nil {
		return err
	}
	if err := e.build(ctx, sb, all, &u); err != nil {
		return err
	}
	state, err := start()
	if err != nil {
		return err
	}
	started := *sb
	started.State = state
	d.sb = &started
	if err := e.commit(change{sandboxes: []*model.Sandbox{&started}}); err != nil {
		return err
	}
	e.logRun(&started, all)
	e.services.SetMember(context.WithoutCancel(ctx), memberOf(&started, all))
	return nil
}

func networkIDs(joins []join) []string {
	var ids []string
	for _, j := range joins {
		ids = append(ids, j.networkID)
	}
	return ids
}

// reserve takes addresses and ports and stores the sandbox as created.
func (e *Engine) reserve(d *draft, u *undo) ([]attachment, error) {
	sb := d.sb
	if d.shared != nil {
		if now := e.state.sandbox(d.shared.ID); now == nil || now.State.Status != model.StatusRunning {
			return nil, request.Errorf(request.ErrConflict, "cannot join network of a non running sandbox: %s", d.shared.Name)
		}
	}
	release, err := e.state.claimNames(sb.Name, d.joins)
	if err != nil {
		return nil, err
	}
	defer release()
	taken, err := interfaceNames(sb)
	if err != nil {
		return nil, err
	}
	all, err := e.allocateAll(sb, d.joins, taken, u)
	if err != nil {
		return nil, err
	}
	if sb.Published, err = e.publish(sb, nil, elect(all), u); err != nil {
		return nil, err
	}
	c := change{sandboxes: []*model.Sandbox{sb}, endpoints: endpointsOf(all)}
	u.add(func() error {
		return e.commit(change{goneSandboxes: []string{sb.ID}, goneEndpoints: endpointsOf(all)})
	})
	return all, e.commit(c)
}

func endpointsOf(all []attachment) []*model.Endpoint {
	var out []*model.Endpoint
	for _, a := range all {
		out = append(out, a.ep)
	}
	return out
}

// interfaceNames lists the devices that an adopted namespace has already.
func interfaceNames(sb *model.Sandbox) (names []string, err error) {
	if !sb.Adopted {
		return nil, nil
	}
	err = netns.Do(sb.Netns, func() error {
		devices, err := net.Interfaces()
		for _, d := range devices {
			names = append(names, d.Name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sandbox %s: %w", sb.Name, err)
	}
	return names, nil
}

// build makes the kernel have what was reserved.
func (e *Engine) build(ctx context.Context, sb *model.Sandbox, all []attachment, u *undo) error {
	u.add(func() error { return e.boxes.Remove(sb.ID) })
	if _, err := e.boxes.Create(sb.ID); err != nil {
		return err
	}
	switch {
	case sb.Mode != model.ModeNetworks:
	case sb.Adopted:
		if err := loopbackUp(sb.Netns); err != nil {
			return err
		}
	default:
		if err := netns.Create(sb.Netns); err != nil {
			return err
		}
		u.add(func() error { e.facts.namespaces.forget(sb.ID); return netns.Delete(sb.Netns) })
		id, err := netnsID(sb.Netns)
		if err != nil {
			return err
		}
		e.facts.namespaces.set(sb.ID, id)
	}
	for _, a := range all {
		if err := e.attach(ctx, sb, a, u); err != nil {
			return err
		}
	}
	return e.connectUp(ctx, sb, all, u)
}

// connectUp does what follows once the endpoints are attached: routes, ports,
// name resolution.
func (e *Engine) connectUp(ctx context.Context, sb *model.Sandbox, all []attachment, u *undo) error {
	if sb.Mode == model.ModeNetworks {
		if err := e.setDefaultRoutes(sb, all); err != nil {
			return err
		}
		if err := e.applyPorts(ctx, sb, all); err != nil {
			return err
		}
	}
	u.add(func() error { return e.stopResolver(context.WithoutCancel(ctx), sb.ID) })
	if err := e.resolve(ctx, sb, all); err != nil {
		return err
	}
	u.add(func() error { e.unregister(all); return nil })
	e.register(sb, all)
	return nil
}

// register makes the endpoints known by their names.
func (e *Engine) register(sb *model.Sandbox, all []attachment) {
	for _, a := range all {
		if rec, ok := dnsRecord(sb, a.ep, a.net); ok {
			e.names.Set(rec)
		}
	}
}

func (e *Engine) unregister(all []attachment) {
	for _, a := range all {
		e.names.Remove(a.ep.ID)
	}
}

// loopbackUp gives an adopted namespace 127.0.0.1, which the embedded resolver needs.
func loopbackUp(path string) error {
	box, err := link.OpenSandbox(path)
	if err != nil {
		return err
	}
	defer box.Close()
	return box.LoopbackUp()
}
