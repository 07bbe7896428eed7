// SPDX-License-Identifier: Apache-2.0

package service

import (
	"cmp"
	"slices"

	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/model"
)

// stateCode is a state in one byte, 1 and up: there are a hundred thousand backends.
type stateCode uint8

var states = [...]model.BackendState{model.BackendActive, model.BackendDraining, model.BackendDown}

func codeOf(s model.BackendState) stateCode { return stateCode(slices.Index(states[:], s) + 1) }

// change is a backend whose state isn't what the log has.
type change struct {
	of   *backend
	code stateCode
	line audit.Backend
}

// changes returns the backends of a service whose states have changed. The state that a backend
// begins with is no change: what made it a backend is in the log. It needs mu.
func (m *Manager) changes(e *entry) (all []change) {
	if m.Log == nil {
		return nil
	}
	for key, b := range e.backends {
		state, reason := b.shown(e.spec, key)
		code := codeOf(state)
		switch b.logged {
		case code:
		case 0:
			b.logged = code
		default:
			name := key
			if b.member != nil {
				name = b.member.Name
			}
			all = append(all, change{b, code, audit.Backend{
				ServiceID: e.spec.ID, Service: e.spec.Name, Name: name, State: state, Reason: reason, Left: b.over,
			}})
		}
	}
	slices.SortFunc(all, func(a, b change) int { return cmp.Compare(a.line.Name, b.line.Name) })
	return all
}

// logChanges logs changes that are in force.
func (m *Manager) logChanges(all []change) {
	if len(all) == 0 {
		return
	}
	m.mu.Lock()
	for _, c := range all {
		c.of.logged = c.code
	}
	m.mu.Unlock()
	for _, c := range all {
		m.Log.BackendChanged(c.line)
	}
}
