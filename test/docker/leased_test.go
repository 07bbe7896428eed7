// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"slices"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// leased are the engines of a version in worlds that tests share.
type leased struct{ binaries }

// kind is that of the worlds: each has an engine with its image, and nothing of a test's.
func (l *leased) kind() harness.Kind {
	return harness.Kind{
		Name: "docker-" + l.version,
		Furnish: func(t testing.TB, e *harness.Env) {
			d := newEngine(t, e, l.binaries)
			e.Kept = d
			d.begin()
			d.begun = d.cmd
			d.begunArgs = slices.Clone(d.args)
		},
		Enter: func(t *testing.T, e *harness.Env) { l.of(e).t = t },
		Tidy:  func(t testing.TB, e *harness.Env) bool { return l.of(e).tidy() },
	}
}

func (l *leased) of(e *harness.Env) *engine { return e.Kept.(*engine) }

// tidy leaves an engine as it was begun, and reports whether it is the same one.
func (d *engine) tidy() bool {
	if d.cmd != d.begun || !slices.Equal(d.args, d.begunArgs) {
		return false
	}
	if err := d.removeObjects(); err != nil {
		d.t.Errorf("remove what the engine has: %v", err)
	}
	return true
}
