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
	for _, pub := range published {
		if err := a.restore(owner, pub); err != nil {
			failures = append(failures, Failure{pub, err})
		}
	}
	return failures
}

func (a *Allocator) restore(owner string, pub model.PublishedPort) error {
	own := func(r *reservation) bool { return r.owner == owner && r.PublishedPort == pub }
	if i := slices.IndexFunc(a.owners[owner], own); i >= 0 {
		r := a.owners[owner][i]
		if r.sock != noSocket {
			return nil
		}
		return a.bind(r, true)
	}
	if err := a.checkTable(pub.HostIP, slot{pub.Port.Proto, pub.HostPort}, true); err != nil {
		return err
	}
	r := &reservation{PublishedPort: pub, owner: owner, sock: noSocket}
	err := a.bind(r, true)
	a.add(r)
	return err
}
