// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	page = "../../docs/metrics.md"
	// pageIntro has ~ for the quotes of code.
	pageIntro = `# Metrics

What the daemon tells Prometheus at the address that ~--metrics~ names, beside ~process_*~ and
~go_*~ of its own process. The README has what Prometheus has to be told; deploy/ has rules and a
dashboard.

- A counter counts since the datapath's tables exist, and goes on over a restart of the daemon. In
  iptables mode it counts since its rules were written last, or as long as the daemon runs.
- What can't be read is missing from a scrape, and ~fairway_scrape_errors_total~ goes up.
- Labels are names of what the host runs, never addresses or IDs, but for the containers of
  Docker's driver without ~--docker~, which nobody told their names of. ~owner~ is whose it is:
  ~fairway~, ~docker~ or ~docker-plugin~.
- Services have at most a thousand names of their own. ~fairway_service_backends~ has the rest as
  one without a name, and those that nobody serves for are the last to be in it. The counters of
  connections have the first thousand names in their order, and nothing of the rest: the sum of a
  rest that changes would fall now and then.
- Services of one name in several networks count as one.

This page is generated: ~go test ./userspace/metrics -update~ writes it, and without the flag the
test compares it.

| metric | type | labels | what it says |
|---|---|---|---|
`
)

// The page in docs is what the metrics say of themselves.
func TestPageListsTheMetrics(t *testing.T) {
	var want strings.Builder
	want.WriteString(strings.ReplaceAll(pageIntro, "~", "`"))
	f := newFamilies()
	for _, m := range f.all() {
		kind := "gauge"
		if m.kind == prometheus.CounterValue {
			kind = "counter"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s |\n", m.name, kind, strings.Join(m.labels, ", "), m.help)
	}
	if *update {
		if err := os.WriteFile(page, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("docs/metrics.md (-want +got):\n%s", diff)
	}
}
