// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/fairway-project/fairway/userspace/model"
)

// State is all that is stored, each list in the order of the IDs.
type State struct {
	Networks  []model.Network
	Endpoints []model.Endpoint
	Sandboxes []model.Sandbox
	Services  []model.Service
}

// Load reads everything. It fails with ErrCorrupt where a record isn't what was written.
func (s *Store) Load() (state State, err error) {
	err = guard(func() error {
		return s.db.View(func(tx *bolt.Tx) (err error) {
			state, err = loadAll(tx)
			return err
		})
	})
	return state, explain(s.path, err)
}

func loadAll(tx *bolt.Tx) (state State, err error) {
	if state.Networks, err = loadBucket(tx, bucketNetworks, func(n *model.Network) string { return n.ID }); err != nil {
		return State{}, err
	}
	if state.Endpoints, err = loadBucket(tx, bucketEndpoints, func(e *model.Endpoint) string { return e.ID }); err != nil {
		return State{}, err
	}
	if state.Sandboxes, err = loadBucket(tx, bucketSandboxes, func(s *model.Sandbox) string { return s.ID }); err != nil {
		return State{}, err
	}
	if tx.Bucket([]byte(Services)) == nil {
		// A file of an earlier version, which had none.
		return state, nil
	}
	if state.Services, err = loadBucket(tx, []byte(Services), func(s *model.Service) string { return s.ID }); err != nil {
		return State{}, err
	}
	return state, nil
}

// Tx is the batch of changes of one Update; it is invalid after it.
type Tx struct{ tx *bolt.Tx }

// Update saves all changes that f makes, or none when f or the disk fails
// (ErrFull). What f returns is returned as it is. On disk when Update returns.
func (s *Store) Update(f func(tx *Tx) error) error {
	var own error
	err := guard(func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			own = f(&Tx{tx})
			return own
		})
	})
	if own != nil {
		return own
	}
	return explain(s.path, err)
}

// PutNetwork saves n under its ID.
func (tx *Tx) PutNetwork(n *model.Network) error { return tx.put(bucketNetworks, n.ID, n) }

// PutEndpoint saves e under its ID.
func (tx *Tx) PutEndpoint(e *model.Endpoint) error { return tx.put(bucketEndpoints, e.ID, e) }

// PutSandbox saves s under its ID.
func (tx *Tx) PutSandbox(s *model.Sandbox) error { return tx.put(bucketSandboxes, s.ID, s) }

// PutService saves s under its ID.
func (tx *Tx) PutService(s *model.Service) error { return tx.Put(Services, s.ID, s) }

// DeleteService removes the service; removing what is gone does nothing.
func (tx *Tx) DeleteService(id string) error { return tx.Delete(Services, id) }

// DeleteNetwork removes the network; removing what is gone does nothing.
func (tx *Tx) DeleteNetwork(id string) error { return tx.delete(bucketNetworks, id) }

// DeleteEndpoint removes the endpoint; removing what is gone does nothing.
func (tx *Tx) DeleteEndpoint(id string) error { return tx.delete(bucketEndpoints, id) }

// DeleteSandbox removes the sandbox; removing what is gone does nothing.
func (tx *Tx) DeleteSandbox(id string) error { return tx.delete(bucketSandboxes, id) }

func (tx *Tx) put(bucket []byte, id string, v any) error {
	record, err := encode(v)
	if err != nil {
		return fmt.Errorf("%s %s: %w", bucket, id, err)
	}
	if err := tx.tx.Bucket(bucket).Put([]byte(id), record); err != nil {
		return fmt.Errorf("%s %q: %w", bucket, id, err)
	}
	return nil
}

func (tx *Tx) delete(bucket []byte, id string) error {
	if err := tx.tx.Bucket(bucket).Delete([]byte(id)); err != nil {
		return fmt.Errorf("%s %q: %w", bucket, id, err)
	}
	return nil
}
