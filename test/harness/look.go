// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// View is what a user can see of a daemon's world.
type View struct{ seen snapshot }

// Look takes a View: the host's namespace and what the daemon lists.
func Look(t testing.TB, e *Env) View {
	t.Helper()
	s := takeSnapshot(t, e.Host)
	// Endpoints that come and go leave the rules of others in another order.
	for _, rules := range []string{"iptables-save", "ip6tables-save", "nft list ruleset"} {
		lines := strings.Split(s[rules], "\n")
		slices.Sort(lines)
		s[rules] = strings.Join(lines, "\n")
	}
	// The kernel gives a bridge its link-local address when it first has a carrier.
	for title, text := range s {
		lines := slices.DeleteFunc(strings.Split(text, "\n"), func(l string) bool { return strings.Contains(l, "fe80::") })
		s[title] = strings.Join(lines, "\n")
	}
	s["networks"] = e.Must(t, "network", "ls", "--no-trunc")
	s["sandboxes"] = e.Must(t, "ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Name}} {{.State}} {{.Networks}} {{.IP}} {{.Ports}}")
	return View{s}
}

// LookAtHost takes a View of the host's namespace alone.
func LookAtHost(t testing.TB, e *Env) View { t.Helper(); return View{takeSnapshot(t, e.Host)} }

// Diff is empty where the two are equal.
func (v View) Diff(now View) string { return cmp.Diff(v.seen, now.seen) }
