// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// maxNamed is how many services have metrics of their own.
const maxNamed = 1000

// The reasons of refusals, as those of drops are called.
const (
	reasonNoBackend = "no_backend"
	reasonSource    = "service_source"
)

// service tells services apart in metrics. Those of one name in different networks count
// as one.
type service struct{ name, owner string }

func labelsOf(v *request.ServiceView) service {
	return service{v.Name, string(cmp.Or(v.Owner, model.OwnerFairway))}
}

// serviceSum is what metrics need of a service: ten thousand with all that is known of their
// backends would be the largest that the daemon holds.
type serviceSum struct {
	id string
	service
	// backends are how many there are in each of backendStates.
	backends [3]int
}

func backendStates() [3]model.BackendState {
	return [...]model.BackendState{model.BackendActive, model.BackendDraining, model.BackendDown}
}

func sums(all iter.Seq[request.ServiceView]) (list []serviceSum) {
	states := backendStates()
	for v := range all {
		sum := serviceSum{id: v.ID, service: labelsOf(&v)}
		for _, b := range v.Backends {
			if i := slices.Index(states[:], b.State); i >= 0 {
				sum.backends[i]++
			}
		}
		list = append(list, sum)
	}
	return list
}

// backends exports how many backends each service has in each state. All states are there
// from the start, so that a service without any backend shows.
func (s *scrape) backends(services []serviceSum) {
	counts := make(map[service]map[model.BackendState]int)
	for _, one := range services {
		if counts[one.service] == nil {
			counts[one.service] = map[model.BackendState]int{model.BackendActive: 0, model.BackendDraining: 0, model.BackendDown: 0}
		}
		for i, state := range backendStates() {
			counts[one.service][state] += one.backends[i]
		}
	}
	for of, states := range bounded(counts) {
		for state, n := range states {
			s.add(s.serviceBackends, float64(n), of.name, of.owner, string(state))
		}
	}
}

// bounded joins what is beyond maxNamed, by owner. Services that can't serve are joined last.
func bounded(counts map[service]map[model.BackendState]int) map[service]map[model.BackendState]int {
	if len(counts) <= maxNamed {
		return counts
	}
	serves := func(of service) int { return min(1, counts[of][model.BackendActive]) }
	order := slices.SortedFunc(maps.Keys(counts), func(a, b service) int {
		return cmp.Or(cmp.Compare(serves(a), serves(b)), cmp.Compare(a.name, b.name), cmp.Compare(a.owner, b.owner))
	})
	for _, of := range order[maxNamed:] {
		rest := service{owner: of.owner}
		if counts[rest] == nil {
			counts[rest] = make(map[model.BackendState]int)
		}
		for state, n := range counts[of] {
			counts[rest][state] += n
		}
		delete(counts, of)
	}
	return counts
}

// serviceConnections exports what was counted of services. A sum of those beyond maxNamed would
// fall whenever a service goes, or gets a name of its own, and look like a restart: they are
// left out, and which ones follows from the names alone.
func (s *scrape) serviceConnections(services []serviceSum, stats []datapath.ServiceStats) {
	of, read := make(map[string]service, len(services)), make(map[string]bool, len(stats))
	for _, one := range services {
		of[one.id] = one.service
	}
	sums := make(map[service]datapath.ServiceStats)
	for _, st := range stats {
		name, known := of[st.ServiceID]
		if !known {
			continue
		}
		read[st.ServiceID] = true
		sum := sums[name]
		sum.Flows += st.Flows
		sum.Refused += st.Refused
		sum.Strangers += st.Strangers
		sum.PassedOver += st.PassedOver
		sums[name] = sum
	}
	// What can't be read just now has its place, too, and of a name that several services have
	// all or none is summed.
	names, partial := make(map[service]bool), make(map[service]bool)
	for id, name := range of {
		names[name] = true
		partial[name] = partial[name] || !read[id]
	}
	order := slices.SortedFunc(maps.Keys(names), func(a, b service) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.owner, b.owner))
	})
	for _, name := range order[:min(len(order), maxNamed)] {
		sum := sums[name]
		if partial[name] {
			continue
		}
		s.add(s.serviceFlows, float64(sum.Flows), name.name, name.owner)
		s.add(s.serviceRefused, float64(sum.Refused), name.name, name.owner, reasonNoBackend)
		s.add(s.serviceRefused, float64(sum.Strangers), name.name, name.owner, reasonSource)
		s.add(s.servicePassedOver, float64(sum.PassedOver), name.name, name.owner)
	}
}
