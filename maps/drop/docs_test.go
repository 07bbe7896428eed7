// SPDX-License-Identifier: Apache-2.0

package drop

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/drop-reasons.md anew")

const (
	docsFile  = "../../docs/drop-reasons.md"
	docsIntro = `# Why packets are dropped

Every packet that the eBPF datapath drops is counted under one reason of this list and under its
direction as seen from the container: ` + "`transmit`" + ` for what a container sends, ` + "`receive`" + ` for what is
on its way to one. The iptables mode counts what its rules drop under the same names (isolated, icc,
internal, direct_routing, martian) and has no counters for the rest.

    fairway status                  # what was dropped since the tables exist, and how much of it in the last minute
    fairway_dropped_packets_total   # the metric, with the labels reason and direction
    fairway_dropped_bytes_total

Numbers are those of ` + "`enum drop_reason`" + ` in bpf/types.h. They are never used again for another
reason. This page is generated: ` + "`go test ./maps/drop -update`" + ` writes it, and without the flag the
test compares it.

| number | reason | what happened |
|---|---|---|
`
)

// The page in docs is what the list says.
func TestDocsListTheReasons(t *testing.T) {
	var want strings.Builder
	want.WriteString(docsIntro)
	for _, r := range Reasons() {
		fmt.Fprintf(&want, "| %d | `%s` | %s |\n", r.Value, r.Name, r.Help)
	}
	if *update {
		if err := os.WriteFile(docsFile, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("docs/drop-reasons.md (-want +got):\n%s", diff)
	}
}
