// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"testing"
)

// Service is a service as the command line shows it.
type Service struct {
	Name     string
	Networks []struct {
		Network    string
		IPv4, IPv6 string
	}
	Backends []ServiceBackend
	Warnings []string
	// Connections are all of the service.
	Connections ServiceConnections
	env         *Env
}

// ServiceBackend is one of a service's.
type ServiceBackend struct {
	Sandbox, State, Reason string
	Weight                 int
	Connections            ServiceConnections
}

// ServiceConnections are those of a service or, but for the refused ones, of a backend.
type ServiceConnections struct{ Opened, Open, Refused, Strangers int }

// Service creates a service with these flags.
func (e *Env) Service(t testing.TB, name string, flags ...string) *Service {
	t.Helper()
	e.Must(t, append(append([]string{"service", "create"}, flags...), name)...)
	return e.InspectService(t, name)
}

// InspectService returns what `fairway service inspect` tells.
func (e *Env) InspectService(t testing.TB, name string) *Service {
	t.Helper()
	var all []*Service
	e.JSON(t, &all, "service", "inspect", name)
	if len(all) != 1 {
		t.Fatalf("service inspect %s: %d entries", name, len(all))
	}
	all[0].env = e
	return all[0]
}

// VIP is the service's address on a network.
func (s *Service) VIP(t testing.TB, network string, f Family) string {
	t.Helper()
	for _, n := range s.Networks {
		if n.Network == network && f.Is6() {
			return n.IPv6
		}
		if n.Network == network {
			return n.IPv4
		}
	}
	t.Fatalf("service %s isn't on network %s: %+v", s.Name, network, s.Networks)
	return ""
}

// Become waits until the sandboxes named are backends in a state, and all that are.
func (s *Service) Become(t testing.TB, state string, names ...string) {
	t.Helper()
	Eventually(t, fmt.Sprintf("backends of %s to be %s", s.Name, state), func() error {
		now := s.env.InspectService(t, s.Name).Backends
		wanted := make(map[string]bool)
		for _, name := range names {
			wanted[name] = true
		}
		for _, b := range now {
			if b.State == state != wanted[b.Sandbox] {
				return fmt.Errorf("%+v, want %v", now, names)
			}
			delete(wanted, b.Sandbox)
		}
		if len(wanted) > 0 {
			return fmt.Errorf("%+v, want %v", now, names)
		}
		return nil
	})
}
