// SPDX-License-Identifier: Apache-2.0

package request

import (
	"cmp"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
)

// Carried is what others made and the daemon carries. Views in it have an Owner.
type Carried struct {
	Networks []NetworkView
	// Containers are those that run and have an endpoint.
	Containers []SandboxView
	Services   []ServiceView
}

// CarriedCount is how much of one owner's is carried.
type CarriedCount struct {
	Owner     model.Owner `json:"owner"`
	Networks  int         `json:"networks"`
	Endpoints int         `json:"endpoints"`
	Ports     int         `json:"ports"`
	Services  int         `json:"services"`
}

// Counts returns the counts by owner, in their alphabetical order.
func (c Carried) Counts() []CarriedCount {
	var all []CarriedCount
	of := func(owner model.Owner) *CarriedCount {
		i := slices.IndexFunc(all, func(n CarriedCount) bool { return n.Owner == owner })
		if i < 0 {
			i = len(all)
			all = append(all, CarriedCount{Owner: owner})
		}
		return &all[i]
	}
	for _, n := range c.Networks {
		of(n.Owner).Networks++
	}
	for _, v := range c.Containers {
		count := of(v.Owner)
		count.Endpoints += len(v.Endpoints)
		count.Ports += len(v.Published)
	}
	for _, v := range c.Services {
		of(v.Owner).Services++
	}
	slices.SortFunc(all, func(a, b CarriedCount) int { return cmp.Compare(a.Owner, b.Owner) })
	return all
}
