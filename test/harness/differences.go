// SPDX-License-Identifier: Apache-2.0

package harness

import "testing"

// Difference is something that one mode refuses or guarantees and the other
// doesn't. docs/differences.md has a line with the same ID for each.
type Difference struct {
	ID string
	// Without is the mode that lacks it.
	Without Mode
}

// Differences is the whole list. A test asks Protects for its expectation, so
// that a difference that goes away is noticed too.
func Differences() []Difference {
	return []Difference{
		{"CAP-02", IPTables},
		{"CAP-04", IPTables},
		{"CSM-01", IPTables},
		{"NAT-06", IPTables},
		{"NAT-14", IPTables},
		{"NAT-27", EBPF},
		{"REL-02", IPTables},
		{"REL-13", EBPF},
		{"REL-14", IPTables},
		{"SEC-06", IPTables},
		{"SEC-10", IPTables},
		{"SEC-11", IPTables},
		{"SEC-12", IPTables},
		{"SEC-22", IPTables},
		{"SEC-23", IPTables},
		{"SEC-24", IPTables},
		{"SVC-02", EBPF},
		{"SVC-07", IPTables},
		{"SVC-10", IPTables},
		{"SVC-11", IPTables},
		{"SVC-13", IPTables},
		{"SVC-14", IPTables},
	}
}

// Protects tells whether the environment's mode keeps what the case with this
// ID asks for. Asking for an ID without a Difference is a mistake of the test.
func (e *Env) Protects(id string) bool {
	for _, d := range Differences() {
		if d.ID == id {
			return d.Without != e.Mode
		}
	}
	panic("no difference is listed under " + id)
}

// Expect compares what happened with what the mode promises under id.
func (e *Env) Expect(t testing.TB, id, what string, kept bool) {
	t.Helper()
	switch promised := e.Protects(id); {
	case promised && !kept:
		t.Errorf("%s: %s", id, what)
	case !promised && kept:
		t.Errorf("%s: mode %s now does better than docs/differences.md says: not %s", id, e.Mode, what)
	}
}
