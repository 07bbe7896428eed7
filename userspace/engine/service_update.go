// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/service"
)

// UpdateService changes what a request says of a service.
func (e *Engine) UpdateService(ctx context.Context, ref string, req request.ServiceUpdate) (request.ServiceView, error) {
	var was *model.Service
	s, err := e.editService(ctx, ref, func(s *model.Service, u *undo) (*model.Service, error) {
		was = s
		now, err := req.Apply(s)
		if err != nil {
			return nil, err
		}
		if err := e.checkPassive(req.Passive); err != nil {
			return nil, err
		}
		if err := e.checkBackends(now); err != nil {
			return nil, err
		}
		now.Drained = e.drainedOf(now)
		now.Published, err = e.publishService(now, s.Published, u)
		return now, err
	})
	if err != nil {
		return request.ServiceView{}, err
	}
	e.audit.ServiceUpdated(was, s)
	return e.serviceView(s), nil
}

// editService puts another value of a service in force, which plan makes.
func (e *Engine) editService(ctx context.Context, ref string, plan func(*model.Service, *undo) (*model.Service, error)) (now *model.Service, err error) {
	leave, err := e.gate.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	found, err := e.state.findService(ref)
	if err != nil {
		return nil, err
	}
	defer e.locks.sandbox(found.ID, serviceNetworkIDs(found)...)()
	s := e.state.service(found.ID)
	if s == nil {
		return nil, request.Errorf(request.ErrNotFound, "service %s not found", ref)
	}
	var u undo
	defer u.onError(&err)
	if now, err = plan(s, &u); err != nil {
		return nil, err
	}
	u.add(func() error { return e.commit(change{services: []*model.Service{s}}) })
	if err := e.commit(change{services: []*model.Service{now}}); err != nil {
		return nil, err
	}
	u.add(func() error {
		err := e.services.Put(context.WithoutCancel(ctx), s)
		if err != nil {
			e.mendService(s, err)
		}
		return err
	})
	if err := e.services.Put(ctx, now); err != nil {
		return nil, fmt.Errorf("service %s: %w", s.Name, err)
	}
	return now, nil
}

// drainedOf are the drained backends that a service asks for still: one that it asks for again
// some day is another one.
func (e *Engine) drainedOf(s *model.Service) (kept []string) {
	for _, key := range s.Drained {
		sb := e.state.sandbox(key)
		asks := func(b model.ServiceBackend) bool {
			return b.Addr.IsValid() && b.Addr.String() == key || sb != nil && b.Name == sb.Name
		}
		if slices.ContainsFunc(s.Backends, asks) || sb != nil && policy.Selects(s.Selector, sb.Labels) {
			kept = append(kept, key)
		}
	}
	return kept
}

// DrainService has a backend get no new flows, or get them again.
func (e *Engine) DrainService(ctx context.Context, ref string, req request.ServiceDrain) error {
	if err := req.Validate(); err != nil {
		return err
	}
	_, err := e.editService(ctx, ref, func(s *model.Service, _ *undo) (*model.Service, error) {
		backends, _ := e.services.Backends(s.ID)
		key, err := backendKey(s, backends, req.Backend)
		if err != nil {
			return nil, err
		}
		now := *s
		// Those that are gone are forgotten: none of them comes back under its ID.
		now.Drained = slices.DeleteFunc(slices.Clone(s.Drained), func(has string) bool {
			return has == key || !slices.ContainsFunc(backends, func(b service.Backend) bool { return b.Key == has })
		})
		if !req.Undo {
			now.Drained = append(now.Drained, key)
		}
		if len(now.Drained) == 0 {
			now.Drained = nil
		}
		return &now, nil
	})
	return err
}

// backendKey finds a backend by its sandbox's name or ID, by an unambiguous prefix of the
// ID, or by its address.
func backendKey(s *model.Service, backends []service.Backend, ref string) (string, error) {
	there := make(map[string]*service.Backend)
	for i := range backends {
		if backends[i].Key != "" {
			there[backends[i].Key] = &backends[i]
		}
	}
	b, err := find(there, "backend", ref, func(b *service.Backend) string { return b.Name })
	if err != nil {
		return "", fmt.Errorf("service %s: %w", s.Name, err)
	}
	return b.Key, nil
}
