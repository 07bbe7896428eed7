// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"iter"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/service"
)

// Services returns all services, ordered by name.
func (e *Engine) Services(context.Context) iter.Seq[request.ServiceView] {
	return func(yield func(request.ServiceView) bool) {
		for _, s := range e.state.allServices() {
			if !yield(e.serviceView(s)) {
				return
			}
		}
	}
}

// Service returns the service that ref names.
func (e *Engine) Service(_ context.Context, ref string) (request.ServiceView, error) {
	s, err := e.state.findService(ref)
	if err != nil {
		return request.ServiceView{}, err
	}
	return e.serviceView(s), nil
}

func (e *Engine) serviceView(s *model.Service) request.ServiceView {
	v := request.ServiceView{Service: *s}
	for _, in := range s.Networks {
		nv := request.ServiceNetworkView{ServiceNetwork: in}
		if n := e.state.network(in.NetworkID); n != nil {
			nv.Name = n.Name
		}
		v.Networks = append(v.Networks, nv)
	}
	backends, warnings := e.services.Backends(s.ID)
	if len(backends) > 0 {
		v.Backends = make([]request.ServiceBackendView, 0, len(backends))
	}
	for _, b := range backends {
		v.Backends = append(v.Backends, request.ServiceBackendView{
			SandboxID: b.SandboxID, Name: b.Name, IPv4: b.IPv4, IPv6: b.IPv6, Port: b.Port, Weight: b.Weight, State: b.State, Reason: b.Reason,
		})
	}
	v.Warnings = warnings
	for _, subject := range []string{service.Subject(s), placeSubject(s), portsSubject(s)} {
		if text := e.owner.Trouble(subject); text != "" {
			v.Warnings = append(v.Warnings, text)
		}
	}
	return v
}
