// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// resolves demands that a name has these addresses in a container, none for one
// that isn't known.
func (d *engine) resolves(container, name string, want ...string) {
	d.t.Helper()
	harness.Eventually(d.t, fmt.Sprintf("%s asks for %s", container, name), func() error {
		out, err := d.try("exec", container, "/peer", "lookup", name)
		got := strings.Fields(out)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			return fmt.Errorf("%q, want %q (%v)", got, want, err)
		}
		return nil
	})
}

// fetches demands that a container reaches a server by its name.
func (d *engine) fetches(container, to, tag string) {
	d.t.Helper()
	harness.Eventually(d.t, container+" fetches from "+to, func() error {
		out, err := d.try("exec", container, "/peer", "fetch", to)
		if err == nil && !strings.HasPrefix(out, tag+" ") {
			err = fmt.Errorf("%q answered", out)
		}
		return err
	})
}

// On a network of its own a container has names: its own, those given to it there,
// and two containers may share one. Names lead where the datapath does.
func TestNames(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.docker("network", "create", "one")
		d.docker("network", "create", "two")
		d.serve("db", "--network", "one", "--network-alias", "store", "--network-alias", "both")
		d.serve("db2", "--network", "one", "--network-alias", "both")
		d.serve("web", "--network", "one", "--add-host", "elsewhere:192.0.2.99", "--hostname", "myself")
		d.serve("alien", "--network", "two")
		db, db2 := d.ip("db", "one"), d.ip("db2", "one")
		d.resolves("web", "db", db)
		d.resolves("db", "web", d.ip("web", "one"))
		d.resolves("web", "store", db)
		d.resolves("web", "both", db, db2)
		d.resolves("web", "elsewhere", "192.0.2.99")
		d.resolves("web", "myself", d.ip("web", "one"))
		d.resolves("alien", "db")
		d.fetches("web", "store:80", "db")
		d.docker("network", "connect", "--alias", "visitor", "one", "alien")
		d.resolves("db", "visitor", d.ip("alien", "one"))
		d.fetches("alien", "db:80", "db")
		d.docker("rename", "db2", "renamed")
		d.resolves("web", "renamed", db2)
		d.fetches("web", "renamed:80", "db2")
		d.docker("network", "disconnect", "one", "alien")
		d.resolves("db", "visitor")
		d.resolves("alien", "db")
	})
}

// --link on the default bridge is a name in one direction, and on a network of its
// own an alias that only the one who asked for it knows.
func TestLinks(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.serve("db")
		d.serve("web", "--link", "db:store")
		d.resolves("web", "store", d.ip("db", "bridge"))
		d.resolves("web", "db", d.ip("db", "bridge"))
		d.resolves("db", "web")
		d.fetches("web", "store:80", "db")
		d.docker("network", "create", "one")
		d.serve("db2", "--network", "one")
		d.serve("web2", "--network", "one", "--link", "db2:store")
		d.serve("other", "--network", "one")
		d.resolves("web2", "store", d.ip("db2", "one"))
		d.resolves("other", "store")
		d.fetches("web2", "store:80", "db2")
	})
}
