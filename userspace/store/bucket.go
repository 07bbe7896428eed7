// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Bucket is a list of records beside those of State, of types that its owner knows.
type Bucket string

// The buckets of Docker's network driver, networks and endpoints by their IDs, of what a
// setup of a Docker Engine keeps, of the backends of services that are healthy, of those that
// drain after they have left, by service, and of the services, which are a part of State.
const (
	PluginNetworks   Bucket = "plugin networks"
	PluginEndpoints  Bucket = "plugin endpoints"
	DockerSetup      Bucket = "docker setup"
	HealthyBackends  Bucket = "healthy backends"
	DrainingBackends Bucket = "draining backends"
	Services         Bucket = "services"
)

// buckets are all that there are. A file of an earlier version gets them when it is
// opened, and is what that version can read still.
func buckets() []Bucket {
	return []Bucket{PluginNetworks, PluginEndpoints, DockerSetup, HealthyBackends, DrainingBackends, Services}
}

// Records reads a bucket by the records' IDs. It fails with ErrCorrupt where a record
// isn't what was written.
func Records[T any](s *Store, b Bucket) (all map[string]*T, err error) {
	all = make(map[string]*T)
	err = guard(func() error {
		return s.db.View(func(tx *bolt.Tx) error {
			return each(tx, b, func(id string, record []byte) error {
				all[id] = new(T)
				return decode(record, all[id])
			})
		})
	})
	return all, explain(s.path, err)
}

// each calls f for the records of a bucket, none where it is missing.
func each(tx *bolt.Tx, b Bucket, f func(id string, record []byte) error) error {
	bucket := tx.Bucket([]byte(b))
	if bucket == nil {
		return nil
	}
	return bucket.ForEach(func(key, record []byte) error {
		if err := f(string(key), record); err != nil {
			return fmt.Errorf("%s %s: %w", b, key, err)
		}
		return nil
	})
}

// checkBuckets reads everything once.
func checkBuckets(tx *bolt.Tx) error {
	for _, b := range buckets() {
		if err := each(tx, b, func(_ string, record []byte) error { return decode(record, new(json.RawMessage)) }); err != nil {
			return err
		}
	}
	return nil
}

// Put saves v in a bucket.
func (tx *Tx) Put(b Bucket, id string, v any) error { return tx.put([]byte(b), id, v) }

// Delete removes a record; removing what is gone does nothing.
func (tx *Tx) Delete(b Bucket, id string) error { return tx.delete([]byte(b), id) }
