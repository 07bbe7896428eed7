// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
)

// FileName is what the state file of a daemon is called in its root.
const FileName = "state.db"

// Version is the format of the records that this package writes.
const Version = 1

// lockTimeout is how long Open waits for a daemon that is just ending.
const lockTimeout = time.Second

var (
	bucketMeta      = []byte("meta")
	bucketNetworks  = []byte("networks")
	bucketEndpoints = []byte("endpoints")
	bucketSandboxes = []byte("sandboxes")

	keyVersion = []byte("version")
	keyOpened  = []byte("opened")
)

// Store is an open state file.
type Store struct {
	path string
	db   *bolt.DB
}

// Open opens the state file at path and makes it, with mode 0600, if there is
// none; the directory has to exist. It fails with one of this package's errors,
// leaving the file as it was, where the file can't be used or written. The
// caller closes the Store.
func Open(path string) (*Store, error) {
	if err := createIfMissing(path); err != nil {
		return nil, explain(path, err)
	}
	s := &Store{path: path}
	err := guard(func() (err error) {
		s.db, err = bolt.Open(path, 0o600, &bolt.Options{OpenFile: openChecked, Timeout: lockTimeout})
		return err
	})
	if err != nil {
		return nil, explain(path, err)
	}
	if err := guard(s.examine); err != nil {
		return nil, explain(path, joinClose(err, s.db))
	}
	if err := s.markOpened(); err != nil {
		return nil, joinClose(err, s.db)
	}
	return s, nil
}

// examine reads everything once, before anything is written.
func (s *Store) examine() error {
	return s.db.View(func(tx *bolt.Tx) error {
		if err := checkPages(tx); err != nil {
			return err
		}
		if err := checkVersion(tx); err != nil {
			return err
		}
		if _, err := loadAll(tx); err != nil {
			return err
		}
		return checkBuckets(tx)
	})
}

// checkPages has bbolt check what checkImage leaves to it.
func checkPages(tx *bolt.Tx) (first error) {
	// Check ends when all that it says is read.
	for err := range tx.Check() {
		if first == nil {
			first = fmt.Errorf("%w: %v", ErrCorrupt, err)
		}
	}
	return first
}

// markOpened writes the time, so that a full or failing disk shows now and not
// at the first change, and makes the buckets that an earlier version didn't have.
func (s *Store) markOpened() error {
	return s.Update(func(tx *Tx) error {
		for _, b := range buckets() {
			if _, err := tx.tx.CreateBucketIfNotExists([]byte(b)); err != nil {
				return err
			}
		}
		now := time.Now().UTC().Format(time.RFC3339)
		return tx.tx.Bucket(bucketMeta).Put(keyOpened, []byte(now))
	})
}

// Bare reports whether no daemon has kept anything in the file, which then has what a
// setup of a Docker Engine keeps at most.
func (s *Store) Bare() (bool, error) {
	state, err := s.Load()
	if err != nil {
		return false, err
	}
	plugin, err := Records[json.RawMessage](s, PluginNetworks)
	return len(state.Networks)+len(state.Sandboxes)+len(plugin) == 0, err
}

// Close gives the file free. Closing twice is not an error.
func (s *Store) Close() error { return explain(s.path, s.db.Close()) }

// Path returns the path that the store was opened with.
func (s *Store) Path() string { return s.path }

// joinClose closes db without hiding err.
func joinClose(err error, db *bolt.DB) error {
	if cerr := db.Close(); cerr != nil {
		return &closeError{err, cerr}
	}
	return err
}

// closeError is err with a failure to close; explain sees through to err.
type closeError struct{ err, close error }

func (e *closeError) Error() string { return e.err.Error() + " (close: " + e.close.Error() + ")" }
func (e *closeError) Unwrap() error { return e.err }

// createIfMissing makes a complete file under another name and moves it into
// place, so that a crash or a full disk never leaves half a file at path.
func createIfMissing(path string) error {
	if _, err := os.Lstat(path); err == nil || !os.IsNotExist(err) {
		return err
	}
	tmp := path + ".new"
	// Left by a daemon that was killed in this function; never state.
	if err := os.Remove(tmp); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := writeNew(tmp); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return place(tmp, path)
}

func writeNew(path string) error {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketNetworks, bucketEndpoints, bucketSandboxes} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketMeta).Put(keyVersion, []byte(strconv.Itoa(Version)))
	})
	if err != nil {
		return joinClose(err, db)
	}
	return db.Close()
}
