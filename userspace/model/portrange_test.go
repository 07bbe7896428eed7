// SPDX-License-Identifier: Apache-2.0

package model

import "testing"

func TestParsePortRange(t *testing.T) {
	for text, want := range map[string]PortRange{
		"1024-65535": {1024, 65535}, "80-80": {80, 80},
		"": {}, "80": {}, "0-9": {}, "9-8": {}, "1-65536": {}, "a-b": {}, "1-2-3": {}, " 1-2": {}, "-2": {},
	} {
		got, err := ParsePortRange(text)
		if got != want || (err == nil) != (want != PortRange{}) {
			t.Errorf("ParsePortRange(%q) = %v, %v; want %v", text, got, err, want)
		}
		if err == nil && got.String() != text {
			t.Errorf("String of %q is %q", text, got)
		}
	}
}
