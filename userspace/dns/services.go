// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"slices"
	"strings"
)

// tasks is the label before a service's name that stands for its backends, as in
// Docker's swarm mode.
const tasks = "tasks."

// Service says what a service's name stands for on one network.
type Service struct {
	NetworkID string
	// Name in any case, without a trailing dot. It goes before the same name of
	// endpoints.
	Name string
	// IPv4 and IPv6 are the service's own addresses there, the zero Addr where it has
	// none. Without either the name stands for the backends.
	IPv4, IPv6 netip.Addr
	// Backends are the addresses of those that take new flows and can be reached from
	// the network.
	Backends []netip.Addr
}

// serviceRecord is a Service as it is answered from. Nothing in it is changed.
type serviceRecord struct {
	Service
	own, backends hosts
}

func newServiceRecord(s Service) *serviceRecord {
	rec := &serviceRecord{Service: s, backends: hosts{found: true, brief: true}}
	// There are thousands of services: nothing of a record is there twice, or for later.
	rec.Backends = nil
	rec.backends.v4, rec.backends.v6 = ofFamily(s.Backends, true), ofFamily(s.Backends, false)
	rec.own = rec.backends
	if vips := rec.vips(); len(vips) > 0 {
		rec.own = hosts{found: true}
		for _, a := range vips {
			rec.own.add(a)
		}
	}
	return rec
}

// ofFamily takes no more room than it needs.
func ofFamily(all []netip.Addr, is4 bool) []netip.Addr {
	n := 0
	for _, a := range all {
		if a.Is4() == is4 {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	out := make([]netip.Addr, 0, n)
	for _, a := range all {
		if a.Is4() == is4 {
			out = append(out, a)
		}
	}
	return out
}

func (rec *serviceRecord) vips() []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{rec.IPv4, rec.IPv6}, func(a netip.Addr) bool { return !a.IsValid() })
}

func (rec *serviceRecord) key() string { return strings.ToLower(rec.Name) }

// SetService registers what a service's name stands for on each of its networks, in
// place of all that was registered for it before: no query finds half of it.
func (r *Registry) SetService(serviceID string, on ...Service) {
	records := make([]*serviceRecord, 0, len(on))
	for _, s := range on {
		records = append(records, newServiceRecord(s))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removeService(serviceID)
	if len(records) == 0 {
		return
	}
	r.services[serviceID] = records
	for _, rec := range records {
		z := r.zone(rec.NetworkID)
		z.records++
		z.services[rec.key()] = append(z.services[rec.key()], rec)
		for _, a := range rec.vips() {
			z.vips[a] = append(z.vips[a], rec)
		}
	}
}

// RemoveService forgets the service; one that isn't registered is no error.
func (r *Registry) RemoveService(serviceID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removeService(serviceID)
}

func (r *Registry) removeService(serviceID string) {
	for _, rec := range r.services[serviceID] {
		z := r.networks[rec.NetworkID]
		without(z.services, rec.key(), rec)
		for _, a := range rec.vips() {
			without(z.vips, a, rec)
		}
		r.unzone(rec.NetworkID)
	}
	delete(r.services, serviceID)
}

// service returns what name, in lower case, stands for where it is a service's.
func (z *zone) service(name string) (hosts, bool) {
	if recs := z.services[name]; len(recs) > 0 {
		return recs[0].own, true
	}
	if of, ok := strings.CutPrefix(name, tasks); ok {
		if recs := z.services[of]; len(recs) > 0 {
			return recs[0].backends, true
		}
	}
	return hosts{}, false
}
