// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Record says under which names an endpoint is known on its network.
type Record struct {
	EndpointID string
	NetworkID  string
	// Names in any case, without a trailing dot. The first is the one that a
	// PTR query for the addresses gets.
	Names []string
	// IPv4 and IPv6 are the zero Addr where the endpoint has none.
	IPv4, IPv6 netip.Addr
}

// Names returns the names of a sandbox on a user-defined network as Docker has
// them: name, aliases, short ID and hostname, each once.
func Names(name string, aliases []string, sandboxID, hostname string) []string {
	all := append([]string{name}, aliases...)
	all = append(all, sandboxID[:min(len(sandboxID), 12)], hostname)
	var names []string
	for _, n := range all {
		if n != "" && !slices.ContainsFunc(names, func(m string) bool { return strings.EqualFold(m, n) }) {
			names = append(names, n)
		}
	}
	return names
}

// Registry holds the records of all networks of a host. All resolvers of the
// host read one Registry; a change is seen by the next query. It may be used
// from several goroutines.
type Registry struct {
	mu       sync.RWMutex
	records  map[string]*Record          // by endpoint
	services map[string][]*serviceRecord // by service
	networks map[string]*zone
}

// zone holds the records of one network. An address or a name may have several:
// an alias can be shared, and during a replacement so can an address.
type zone struct {
	// records counts those of endpoints and services.
	records  int
	names    map[string][]*Record // by lower-case name
	addrs    map[netip.Addr][]*Record
	services map[string][]*serviceRecord // by lower-case name
	vips     map[netip.Addr][]*serviceRecord
}

// NewRegistry returns an empty Registry.
func NewRegistry() *Registry {
	return &Registry{records: map[string]*Record{}, services: map[string][]*serviceRecord{}, networks: map[string]*zone{}}
}

// Set registers rec, in place of what its endpoint had before.
func (r *Registry) Set(rec Record) {
	rec.Names = slices.Clone(rec.Names)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(rec.EndpointID)
	r.records[rec.EndpointID] = &rec
	z := r.zone(rec.NetworkID)
	z.records++
	z.add(&rec)
}

// zone returns that of a network, made if need be.
func (r *Registry) zone(networkID string) *zone {
	z := r.networks[networkID]
	if z == nil {
		z = &zone{
			names: map[string][]*Record{}, addrs: map[netip.Addr][]*Record{},
			services: map[string][]*serviceRecord{}, vips: map[netip.Addr][]*serviceRecord{},
		}
		r.networks[networkID] = z
	}
	return z
}

// unzone drops one record of a network's, and the zone with its last.
func (r *Registry) unzone(networkID string) {
	z := r.networks[networkID]
	if z.records--; z.records == 0 {
		delete(r.networks, networkID)
	}
}

// Remove forgets the endpoint; one that isn't registered is no error.
func (r *Registry) Remove(endpointID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(endpointID)
}

func (r *Registry) remove(endpointID string) {
	rec := r.records[endpointID]
	if rec == nil {
		return
	}
	delete(r.records, endpointID)
	r.networks[rec.NetworkID].remove(rec)
	r.unzone(rec.NetworkID)
}

func (z *zone) add(rec *Record) {
	for _, n := range rec.keys() {
		z.names[n] = append(z.names[n], rec)
	}
	for _, a := range rec.addrs() {
		z.addrs[a] = append(z.addrs[a], rec)
	}
}

func (z *zone) remove(rec *Record) {
	for _, n := range rec.keys() {
		without(z.names, n, rec)
	}
	for _, a := range rec.addrs() {
		without(z.addrs, a, rec)
	}
}

// without takes rec out of m[key], and key out of m with its last record.
func without[K, V comparable](m map[K][]V, key K, rec V) {
	m[key] = slices.DeleteFunc(m[key], func(o V) bool { return o == rec })
	if len(m[key]) == 0 {
		delete(m, key)
	}
}

// keys are rec's names in lower case, each once.
func (rec *Record) keys() []string {
	keys := make([]string, 0, len(rec.Names))
	for _, n := range rec.Names {
		if k := strings.ToLower(n); k != "" && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (rec *Record) addrs() []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{rec.IPv4, rec.IPv6}, func(a netip.Addr) bool { return !a.IsValid() })
}

// byName returns what name, in lower case, stands for on a network.
func (r *Registry) byName(networkID, name string) hosts {
	r.mu.RLock()
	defer r.mu.RUnlock()
	z := r.networks[networkID]
	if z == nil {
		return hosts{}
	}
	if h, ok := z.service(name); ok {
		return h
	}
	var h hosts
	for _, rec := range z.names[name] {
		h.found = true
		for _, a := range rec.addrs() {
			h.add(a)
		}
	}
	return h
}

// byAddr returns the name of the service that has addr on a network, else the first
// one of the endpoint.
func (r *Registry) byAddr(networkID string, addr netip.Addr) (string, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	z := r.networks[networkID]
	if z == nil {
		return "", false
	}
	if recs := z.vips[addr]; len(recs) > 0 {
		return recs[0].Name, true
	}
	for _, rec := range z.addrs[addr] {
		if len(rec.Names) > 0 {
			return rec.Names[0], true
		}
	}
	return "", false
}
