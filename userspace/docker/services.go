// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
	"github.com/fairway-project/fairway/userspace/ports"
	"github.com/fairway-project/fairway/userspace/service"
)

const (
	// labelsPrefix is for labels of a container that can't be read, in troubles;
	// contradictionPrefix for those of a service that contradict each other, and
	// publishPrefix for ports of a service that are taken.
	labelsPrefix        = "labels of container "
	contradictionPrefix = "labels of service "
	publishPrefix       = "published ports of service "
	// unsettled is how long services of an earlier daemon wait for devices that no
	// endpoint is found for.
	unsettled = 5 * time.Second
)

// services are what containers ask for by labels. All is guarded by Watcher.mu, but for
// manager and ports, which have locks of their own.
type services struct {
	manager *service.Manager
	ports   *ports.Allocator
	leaving *leaving
	// said are the services and members that the manager has, by ID.
	said    map[string]*model.Service
	members map[string]service.Member
	// wishes are what the labels say of each, with what is wrong.
	wishes map[string]facts.Service
	// begun says that the manager tells; complete is when the engine had said all.
	begun    bool
	complete time.Time
	// waits says that there is something to do though nothing may change any more.
	waits bool
}

// memorySubject is what remembers who was healthy, in troubles.
const memorySubject = "health of services"

func newServices(w *Watcher) (*services, error) {
	c := service.Config{Owner: w.owner, Log: audit.New(w.Log, model.OwnerDocker)}
	if w.Store != nil {
		memory, err := service.OpenMemory(w.Store, string(model.OwnerDocker), func(err error) { w.owner.Report(memorySubject, err) })
		if err != nil {
			return nil, err
		}
		c.Memory = memory
	}
	manager := service.New(c)
	return &services{
		manager: manager, leaving: newLeaving(manager), ports: ports.NewAllocator(),
		said: make(map[string]*model.Service), members: make(map[string]service.Member), wishes: make(map[string]facts.Service),
	}, nil
}

func (s *services) close() error {
	s.leaving.close()
	s.manager.Close()
	return s.ports.Close()
}

// followServices has services follow what containers say by labels. It needs the lock.
func (w *Watcher) followServices(ctx context.Context) {
	s := w.services
	labeled := slices.ContainsFunc(w.view.containers, func(c client.Container) bool { return c.Labels[facts.ServiceLabel] != "" })
	s.waits = false
	if !labeled && s.begun && len(s.said) == 0 && len(s.members) == 0 {
		s.wishes = nil
		w.forgetServices(nil)
		return
	}
	if s.complete.IsZero() {
		s.complete = time.Now()
	}
	s.waits = labeled && !s.begun && !w.settled() && time.Since(s.complete) < unsettled
	if s.waits {
		w.retry.Raise()
		return
	}
	all, troubles := facts.Services(w.view.networks, w.view.containers)
	for id, err := range troubles {
		w.owner.Report(labelsOf(id), err)
	}
	w.forgetServices(troubles)
	w.releasePorts(all)
	s.wishes = make(map[string]facts.Service, len(all))
	wanted := make(map[string]*model.Service, len(all))
	for _, wish := range all {
		w.owner.Report(contradictionPrefix+w.named(&wish.Service), wish.Contradiction())
		now := wish.Service
		w.publish(&now)
		s.wishes[now.ID], wanted[now.ID] = wish, &now
	}
	members := w.serviceMembers()
	if !s.begun {
		s.begun = true
		s.manager.Load(slices.Collect(maps.Values(wanted)), slices.Collect(maps.Values(members)))
		s.manager.Begin(ctx)
		s.said, s.members = wanted, members
		return
	}
	w.sayMembers(ctx, members)
	w.sayServices(ctx, wanted)
}

// sayMembers tells the manager which containers run.
func (w *Watcher) sayMembers(ctx context.Context, members map[string]service.Member) {
	s := w.services
	for id := range s.members {
		if _, runs := members[id]; !runs {
			s.manager.RemoveMember(ctx, id)
		}
	}
	for id, m := range members {
		if before, known := s.members[id]; !known || !reflect.DeepEqual(before, m) {
			s.manager.SetMember(ctx, m)
		}
	}
	s.members = members
}

// sayServices tells the manager which services there are.
func (w *Watcher) sayServices(ctx context.Context, wanted map[string]*model.Service) {
	s := w.services
	for id, before := range s.said {
		if wanted[id] != nil {
			continue
		}
		subject := service.Subject(before)
		if err := w.owner.Mend(ctx, subject, func(ctx context.Context) error { return s.manager.Remove(ctx, id) }); err == nil {
			w.owner.Report(subject, nil)
		}
	}
	for id, now := range wanted {
		if before := s.said[id]; before != nil && reflect.DeepEqual(before, now) {
			continue
		}
		_ = w.owner.Mend(ctx, service.Subject(now), func(ctx context.Context) error { return s.manager.Put(ctx, now) })
	}
	s.said = wanted
}

// serviceMembers are the containers with a service's label that have all their devices.
func (w *Watcher) serviceMembers() map[string]service.Member {
	reached := make(map[string][]policy.Reach)
	for _, n := range w.view.networks {
		for _, e := range n.Endpoints {
			if _, bound := w.bound[e.ID]; bound {
				reached[e.Container] = append(reached[e.Container],
					policy.Reach{EndpointID: e.ID, NetworkID: e.NetworkID, IPv4: e.IPv4, IPv6: e.IPv6})
			}
		}
	}
	all := make(map[string]service.Member)
	for _, c := range w.view.containers {
		if c.Labels[facts.ServiceLabel] == "" {
			continue
		}
		m := service.Member{ID: c.ID, Name: c.Name(), Endpoints: reached[c.ID]}
		slices.SortFunc(m.Endpoints, func(a, b policy.Reach) int { return strings.Compare(a.EndpointID, b.EndpointID) })
		if len(m.Endpoints) > 0 {
			all[c.ID] = m
		}
	}
	return all
}

// releasePorts gives up the host ports of services that aren't there any more or ask for
// others, before any service takes some: those may be the same.
func (w *Watcher) releasePorts(all []facts.Service) {
	s := w.services
	asked := make(map[string][]model.PortSpec, len(all))
	for i := range all {
		asked[all[i].ID] = all[i].Specs
	}
	for id, before := range s.said {
		if specs, stays := asked[id]; !stays || !slices.Equal(before.Specs, specs) {
			s.ports.Release(id)
		}
	}
}

// publish takes the host ports that a service asks for, and has it have those that it got.
func (w *Watcher) publish(now *model.Service) {
	s := w.services
	var networks []*model.Network
	for _, in := range now.Networks {
		n := w.view.networks[in.NetworkID]
		networks = append(networks, &n.Network)
	}
	g := policy.ServiceGateways(networks)
	var specs []model.PortSpec
	var errs []error
	for _, spec := range now.Specs {
		if spec.HostPort == 0 || spec.HostPort != spec.HostPortEnd {
			errs = append(errs, fmt.Errorf("%s: want one host port, as in 8080:80: another would be taken after each restart", spec.Port))
			continue
		}
		addresses := policy.HostAddresses(spec, g, w.listen6)
		if len(addresses) == 0 {
			errs = append(errs, fmt.Errorf("%s: no network of the service publishes ports: they are internal, or in gateway mode %s", spec.Port, model.GatewayRouted))
		}
		for _, a := range addresses {
			one := spec
			one.HostIP = a
			specs = append(specs, one)
		}
	}
	for _, spec := range specs {
		want := model.PublishedPort{Port: spec.Port, HostIP: spec.HostIP, HostPort: spec.HostPort}
		held := slices.Contains(s.ports.Published(now.ID), want)
		if !held {
			_, err := s.ports.Allocate(now.ID, []model.PortSpec{spec}, ports.Families{IPv4: true, IPv6: true}, spec.HostIP)
			errs = append(errs, err)
			if held = err == nil; !held {
				s.waits = true
				w.retry.Raise()
			}
		}
		if held {
			now.Published = append(now.Published, want)
		}
	}
	w.owner.Report(publishPrefix+w.named(now), errors.Join(errs...))
}

// forgetServices drops the troubles of containers and services that are gone or right.
func (w *Watcher) forgetServices(troubles map[string]error) {
	there := make(map[string]bool)
	for id := range troubles {
		there[labelsOf(id)] = true
	}
	for _, wish := range w.services.wishes {
		name := w.named(&wish.Service)
		there[contradictionPrefix+name], there[publishPrefix+name] = true, true
	}
	w.owner.Forget(func(subject string) bool {
		return !there[subject] && slices.ContainsFunc([]string{labelsPrefix, contradictionPrefix, publishPrefix},
			func(p string) bool { return strings.HasPrefix(subject, p) })
	})
}

// named tells a service from one of the same name on another network, in troubles.
func (w *Watcher) named(s *model.Service) string {
	return s.Name + " on " + w.view.networks[s.Networks[0].NetworkID].Name
}

func labelsOf(containerID string) string { return fmt.Sprintf("%s%.12s", labelsPrefix, containerID) }
