// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// fleet is a service web on networks a and b: port 80, which is published as 8080. Its
// backends are w1 and w2 on network a, and w3 on b.
type fleet struct {
	*harness.Service
	backends []*harness.Sandbox
	// client is on a, stranger on c, which isn't the service's.
	client, stranger *harness.Sandbox
}

// names of the backends, in order.
func (f *fleet) names() []string {
	var out []string
	for _, b := range f.backends {
		out = append(out, b.Name)
	}
	return out
}

// newFleet makes the fleet. Flags are further ones of the service.
func newFleet(t *testing.T, e *harness.Env, flags ...string) *fleet {
	t.Helper()
	e.Network(t, "a", numA)
	e.Network(t, "b", numB)
	e.Network(t, "c", numI)
	f := new(fleet)
	f.Service = e.Service(t, "web", append([]string{
		"--network", "a,b", "--port", "80:8000", "--port", "80:8000/udp", "--publish", "8080:80", "--publish", "8080:80/udp", "--select", "app=web",
	}, flags...)...)
	for i, network := range []string{"a", "a", "b"} {
		f.backends = append(f.backends, backend(t, e, fmt.Sprintf("w%d", i+1), network))
	}
	f.client, f.stranger = e.Sandbox(t, "client", "--network", "a"), e.Sandbox(t, "stranger", "--network", "c")
	f.Become(t, "active", f.names()...)
	return f
}

// backend runs one more, which answers by its name.
func backend(t *testing.T, e *harness.Env, name, network string) *harness.Sandbox {
	t.Helper()
	b := e.Sandbox(t, name, "--network", network, "--label", "app=web")
	serve(t, b.Netns, 8000, name)
	return b
}

// draws are enough for each backend of three to be drawn once: all but one in 10^17.
const draws = 100

// spreads demands answers of all of these and of nobody else, over TCP and UDP, and
// returns them all.
func spreads(t *testing.T, from *harness.Netns, dst string, names ...string) []harness.Reply {
	t.Helper()
	var all []harness.Reply
	for proto, probe := range harness.Probes() {
		missing := slices.Clone(names)
		for range draws {
			r, err := probe(from, dst)
			if err != nil {
				t.Errorf("%s → %s over %s: %v", from.Name, dst, proto, err)
				break
			}
			if !slices.Contains(names, r.Tag) {
				t.Errorf("%s → %s over %s: answered by %q, want one of %q", from.Name, dst, proto, r.Tag, names)
				break
			}
			all = append(all, r)
			if missing = slices.DeleteFunc(missing, func(n string) bool { return n == r.Tag }); len(missing) == 0 {
				break
			}
		}
		if len(missing) > 0 && !t.Failed() {
			t.Errorf("%s → %s over %s: no answer of %q in %d tries", from.Name, dst, proto, missing, draws)
		}
	}
	return all
}

// seenAs demands that servers saw the client by its own address.
func seenAs(t *testing.T, replies []harness.Reply, client string) {
	t.Helper()
	for _, r := range replies {
		if r.Seen.Addr() != netip.MustParseAddr(client) {
			t.Errorf("%s saw its client as %s, want %s", r.Tag, r.Seen, client)
			return
		}
	}
}

// hearsNothing demands that a client gets no answer, and no error either.
func hearsNothing(t *testing.T, from *harness.Netns, dst string) {
	t.Helper()
	for proto, probe := range harness.Probes() {
		if r, err := probe(from, dst, harness.Within(harness.Silence)); harness.Classify(err) != harness.Nothing {
			t.Errorf("%s → %s over %s: %+v, %v, want silence", from.Name, dst, proto, r, err)
		}
	}
}

// refusesClients demands that a client learns at once that nobody serves.
func refusesClients(t *testing.T, from *harness.Netns, dst string) {
	t.Helper()
	for proto, probe := range harness.Probes() {
		if r, err := probe(from, dst); harness.Classify(err) != harness.Reset {
			t.Errorf("%s → %s over %s: %+v, %v, want a refusal", from.Name, dst, proto, r, err)
		}
	}
}
