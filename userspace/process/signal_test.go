// SPDX-License-Identifier: Apache-2.0

package process

import "testing"

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]int{"": 15, "TERM": 15, "SIGKILL": 9, "10": 10, "hup": 0, "65": 0, "9x": 0} {
		got, err := parseSignal(s)
		if int(got) != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %d, %v, want %d", s, got, err, want)
		}
	}
}
