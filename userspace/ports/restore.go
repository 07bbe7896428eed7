// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"fmt"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
)

// Failure is a port that Restore could not reserve.
type Failure struct {
	model.PublishedPort
	Err error
}

func (f Failure) Error() string { return fmt.Sprintf("restore %s: %v", f.PublishedPort, f.Err) }

// Unwrap returns the cause.
func (f Failure) Unwrap() error { return f.Err }

// Restore takes over ports that are in force already, as after the daemon's
// restart. Where a foreign program has taken one meanwhile, the table keeps it
// for the owner without a socket, and the next Restore tries again; only what
// another owner has is left out. It returns what could not be reserved.
func (a *Allocator) Restore(owner string, published []model.PublishedPort) []Failure {
	a.mu.Lock()
	defer a.mu.Unlock()
	var failures []Failure
	// All are entered before the first is bound, so that pairs find each other.
	list := make([]*reservation, 0, len(published))
	for _, pub := range published {
		r, err := a.enter(owner, pub)
		if err != nil {
			failures = append(failures, Failure{pub, err})
			continue
		}
		list = append(list, r)
	}
	for _, r := range list {
		if err := bind(r, a.slots[r.slot()], true); err != nil {
			failures = append(failures, Failure{r.PublishedPort, err})
		}
	}
	return failures
}

// enter returns the reservation that the owner has, or a new one in the table.
func (a *Allocator) enter(owner string, pub model.PublishedPort) (*reservation, error) {
	r := &reservation{PublishedPort: pub, owner: owner}
	own := func(r *reservation) bool { return r.owner == owner && r.PublishedPort == pub }
	if i := slices.IndexFunc(a.slots[r.slot()], own); i >= 0 {
		return a.slots[r.slot()][i], nil
	}
	if err := a.checkTable(pub.HostIP, r.slot(), true); err != nil {
		return nil, err
	}
	a.add(r)
	return r, nil
}
