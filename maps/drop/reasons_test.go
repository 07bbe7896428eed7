// SPDX-License-Identifier: Apache-2.0

package drop

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/fairway-project/fairway/maps/object"
)

// Every member of the C enum has a row, under its own name in lower case, and no
// row is without a member.
func TestReasonsFollowTheEnum(t *testing.T) {
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	var enum *btf.Enum
	if err := spec.Types.TypeByName("drop_reason", &enum); err != nil {
		t.Fatal(err)
	}
	rows := make(map[uint64]Reason)
	for _, r := range Reasons() {
		if _, twice := rows[uint64(r.Value)]; twice {
			t.Errorf("reason %d has two rows", r.Value)
		}
		if r.Help == "" || strings.HasSuffix(r.Help, ".") {
			t.Errorf("help of %s: %q", r.Name, r.Help)
		}
		rows[uint64(r.Value)] = r
	}
	for _, member := range enum.Values {
		if member.Name == "DROP_NONE" || member.Name == "DROP_REASON_MAX" {
			continue
		}
		row, ok := rows[member.Value]
		if !ok {
			t.Errorf("%s = %d has no row", member.Name, member.Value)
			continue
		}
		if want := strings.ToLower(strings.TrimPrefix(member.Name, "DROP_")); row.Name != want {
			t.Errorf("%s = %d is named %q, want %q", member.Name, member.Value, row.Name, want)
		}
		delete(rows, member.Value)
	}
	for _, extra := range rows {
		t.Errorf("row %d %s has no member", extra.Value, extra.Name)
	}
}
