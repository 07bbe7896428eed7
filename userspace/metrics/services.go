// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"maps"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// maxNamed is how many services have metrics of their own.
const maxNamed = 1000

// service tells services apart in metrics. Those of one name in different networks count
// as one.
type service struct{ name, owner string }

// backends exports how many backends each service has in each state. All states are there
// from the start, so that a service without any backend shows.
func (s *scrape) backends(services []request.ServiceView) {
	counts := make(map[service]map[model.BackendState]int)
	for i := range services {
		of := service{services[i].Name, string(cmp.Or(services[i].Owner, model.OwnerFairway))}
		if counts[of] == nil {
			counts[of] = map[model.BackendState]int{model.BackendActive: 0, model.BackendDraining: 0, model.BackendDown: 0}
		}
		for _, b := range services[i].Backends {
			counts[of][b.State]++
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
