// SPDX-License-Identifier: Apache-2.0

package plan

import "testing"

func TestCaseName(t *testing.T) {
	c := Case{Workload: "pps", Walk: LANToPublished, Family: IPv4, Flows: 65536, Params: []Param{{"ports", "100"}}}
	for _, tt := range []struct{ got, want string }{
		{c.FullName(), "pps/walk=lan-published/family=ipv4/flows=65536/ports=100"},
		{c.Without("flows"), "walk=lan-published/family=ipv4/ports=100"},
		{c.Value("flows"), "65536"},
		{c.Value("ports"), "100"},
		{c.Value("none"), ""},
		{Case{Workload: "attach"}.FullName(), "attach"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestSelectionDefaults(t *testing.T) {
	s := Selection{Arms: []Arm{EBPF}, Flows: []int{7}}
	if got := s.FlowsOr(1, 2); len(got) != 1 || got[0] != 7 {
		t.Errorf("flows: %v", got)
	}
	if got := s.FamiliesOr(IPv4); len(got) != 1 || got[0] != IPv4 {
		t.Errorf("families: %v", got)
	}
	if !s.Has(EBPF) || s.Has(Veth) {
		t.Error("Has")
	}
}
