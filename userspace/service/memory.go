// SPDX-License-Identifier: Apache-2.0

package service

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/store"
)

// Memory knows over restarts of the daemon which backends were healthy. It is told before
// a datapath is: what this has a restart finds.
type Memory interface {
	// Healthy reports whether a backend was healthy when the daemon was started.
	Healthy(serviceID, backend string) bool
	// Save takes note of what backends are now. It returns when that is kept, or can't be.
	Save(serviceID string, backends []string, healthy bool)
	// Forget takes note of a backend that is no more. It doesn't wait.
	Forget(serviceID, backend string)
	// Keep forgets the backends of an earlier process that keep says no to.
	Keep(keep func(serviceID, backend string) bool)
	// Flush has all kept that was taken note of.
	Flush()
	// Drains are the backends that had left services when the daemon was started and drained, by
	// service.
	Drains() map[string]Drains
	// SaveDrains takes note of those of a service, as Save does.
	SaveDrains(serviceID string, d Drains) error
}

// Drains are the backends that drain after they have left a service, by their key.
type Drains map[string]Draining

// Draining is what a backend was in the service, and until when its flows go on.
type Draining struct {
	Backend model.ServiceBackend `json:"backend"`
	Until   time.Time            `json:"until"`
}

func (d Draining) equal(o Draining) bool { return d.Backend == o.Backend && d.Until.Equal(o.Until) }

// healthy is the record of a healthy backend.
type healthy struct{}

// Stored is a Memory in the daemon's state file. Many changes at a time are one
// transaction.
type Stored struct {
	store *store.Store
	// prefix tells those of several owners apart.
	prefix string
	// before are the IDs of what was healthy at the start.
	before map[string]bool
	drains map[string]Drains
	report func(error)

	// saving is held while the file is written. It comes before mu.
	saving sync.Mutex
	// mu guards what follows. pending is what is to be written, by record ID, true for a
	// healthy one; writing is what is being written; stored are the IDs that the file has.
	mu      sync.Mutex
	pending map[string]bool
	writing map[string]bool
	stored  map[string]bool
	// again runs after a write that failed.
	again *time.Timer
}

// writeAgain is how long after a write that failed the next one is tried: a disk may have room then.
const writeAgain = 10 * time.Second

// OpenMemory reads what the owner's backends were. report is told whether writing works,
// nil if it does. An error is of reading: nobody was healthy then.
func OpenMemory(s *store.Store, owner string, report func(error)) (*Stored, error) {
	m := &Stored{store: s, prefix: owner + "/", before: make(map[string]bool), drains: make(map[string]Drains), report: report, pending: make(map[string]bool)}
	all, err := store.Records[healthy](s, store.HealthyBackends)
	for id := range all {
		if strings.HasPrefix(id, m.prefix) {
			m.before[id] = true
		}
	}
	m.stored = maps.Clone(m.before)
	drains, drainsErr := store.Records[Drains](s, store.DrainingBackends)
	for id, d := range drains {
		if of, is := strings.CutPrefix(id, m.prefix); is {
			m.drains[of] = *d
		}
	}
	return m, errors.Join(err, drainsErr)
}

// Drains implements Memory.
func (m *Stored) Drains() map[string]Drains { return m.drains }

// SaveDrains implements Memory.
func (m *Stored) SaveDrains(serviceID string, d Drains) error {
	err := m.store.Update(func(tx *store.Tx) error {
		if len(d) == 0 {
			return tx.Delete(store.DrainingBackends, m.prefix+serviceID)
		}
		return tx.Put(store.DrainingBackends, m.prefix+serviceID, d)
	})
	m.report(err)
	return err
}

func (m *Stored) id(serviceID, backend string) string { return m.prefix + serviceID + "/" + backend }

// Healthy implements Memory.
func (m *Stored) Healthy(serviceID, backend string) bool { return m.before[m.id(serviceID, backend)] }

// Save implements Memory.
func (m *Stored) Save(serviceID string, backends []string, healthy bool) {
	m.mu.Lock()
	for _, b := range backends {
		m.pending[m.id(serviceID, b)] = healthy
	}
	m.mu.Unlock()
	m.write()
}

// Forget implements Memory. It is written with the next change: what is left of a backend
// that is gone does no harm. Of what was never healthy there is nothing to forget.
func (m *Stored) Forget(serviceID, backend string) {
	id := m.id(serviceID, backend)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stored[id] || m.writing[id] {
		m.pending[id] = false
	} else {
		delete(m.pending, id)
	}
}

// Keep implements Memory. As with Forget it is written with the next change.
func (m *Stored) Keep(keep func(serviceID, backend string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id := range m.stored {
		of, backend, _ := strings.Cut(strings.TrimPrefix(id, m.prefix), "/")
		if _, newer := m.pending[id]; !newer && !keep(of, backend) {
			m.pending[id] = false
		}
	}
}

// Flush implements Memory. It is the last that is asked of it.
func (m *Stored) Flush() {
	m.write()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.again != nil {
		m.again.Stop()
	}
}

// write writes what is pending; whoever waits for another's write finds its own done. What
// couldn't be written is tried again after a while, and with the next change.
func (m *Stored) write() {
	m.saving.Lock()
	defer m.saving.Unlock()
	changes := m.take()
	if len(changes) == 0 {
		return
	}
	err := m.store.Update(func(tx *store.Tx) error {
		for id, is := range changes {
			if err := put(tx, id, is); err != nil {
				return err
			}
		}
		return nil
	})
	m.written(changes, err)
	m.report(err)
}

func (m *Stored) take() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writing, m.pending = m.pending, make(map[string]bool)
	return m.writing
}

func (m *Stored) written(changes map[string]bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writing = nil
	if m.again != nil {
		m.again.Stop()
	}
	if err != nil {
		m.again = time.AfterFunc(writeAgain, m.write)
	}
	for id, is := range changes {
		_, newer := m.pending[id]
		switch {
		case err != nil && !newer:
			m.pending[id] = is
		case err == nil && is:
			m.stored[id] = true
		case err == nil:
			delete(m.stored, id)
		}
	}
}

func put(tx *store.Tx, id string, is bool) error {
	if !is {
		return tx.Delete(store.HealthyBackends, id)
	}
	return tx.Put(store.HealthyBackends, id, healthy{})
}
