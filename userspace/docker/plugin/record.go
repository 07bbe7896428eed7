// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/store"
)

// records are what the driver keeps on disk, by ID. Those behind the pointers are never
// changed but replaced.
type records struct {
	Networks  map[string]*network
	Endpoints map[string]*endpoint
}

// network is a network of Docker's that this driver carries.
type network struct {
	model.Network
}

// endpoint is an endpoint of such a network.
type endpoint struct {
	model.Endpoint
	// SandboxKey is the path of the container's namespace, as Docker names it;
	// empty before Join and after Leave.
	SandboxKey string `json:"sandboxKey,omitempty"`
	// External says that the endpoint is the container's gateway: its ports are
	// published. Specs are the ports that Docker asked for.
	External    bool                  `json:"external,omitempty"`
	Specs       []model.PortSpec      `json:"specs,omitempty"`
	NoProxy6To4 bool                  `json:"noProxy6To4,omitempty"`
	Published   []model.PublishedPort `json:"published,omitempty"`
}

// Networks counts the networks that a driver has in the store, or had in dir.
func Networks(s *store.Store, dir string) (int, error) {
	r, err := load(s, dir)
	return len(r.Networks), err
}

// load reads what the driver has. What an earlier version keeps in a file in dir replaces
// what is in the store.
func load(s *store.Store, dir string) (records, error) {
	if err := migrate(s, dir); err != nil {
		return records{}, err
	}
	r, err := stored(s)
	if err != nil {
		return r, err
	}
	if err := r.check(); err != nil {
		return r, fmt.Errorf("docker plugin: state file %s: %w", s.Path(), err)
	}
	return r, nil
}

func stored(s *store.Store) (r records, err error) {
	if r.Networks, err = store.Records[network](s, store.PluginNetworks); err != nil {
		return r, fmt.Errorf("docker plugin: %w", err)
	}
	if r.Endpoints, err = store.Records[endpoint](s, store.PluginEndpoints); err != nil {
		return r, fmt.Errorf("docker plugin: %w", err)
	}
	return r, nil
}

// check refuses records that don't fit each other.
func (r records) check() error {
	for id, n := range r.Networks {
		if n == nil || n.ID != id {
			return fmt.Errorf("network %s: damaged", id)
		}
	}
	for id, e := range r.Endpoints {
		if e == nil || e.ID != id || r.Networks[e.NetworkID] == nil {
			return fmt.Errorf("endpoint %s: damaged", id)
		}
	}
	return nil
}

// save makes the store have next where it had r.
func (r records) save(s *store.Store, next records) error {
	err := s.Update(func(tx *store.Tx) error {
		return errors.Join(
			save(tx, store.PluginNetworks, r.Networks, next.Networks),
			save(tx, store.PluginEndpoints, r.Endpoints, next.Endpoints),
		)
	})
	if err != nil {
		return fmt.Errorf("docker plugin: %w", err)
	}
	return nil
}

func save[T any](tx *store.Tx, b store.Bucket, was, is map[string]*T) error {
	var errs []error
	for id, v := range is {
		if was[id] != v {
			errs = append(errs, tx.Put(b, id, v))
		}
	}
	for id := range was {
		if is[id] == nil {
			errs = append(errs, tx.Delete(b, id))
		}
	}
	return errors.Join(errs...)
}
