// SPDX-License-Identifier: Apache-2.0

package world

import (
	"os"
	"strings"
	"testing"
)

// The machine's limit is raised for as long as a world needs that, and no longer.
func TestLimits(t *testing.T) {
	read := func() string {
		raw, err := os.ReadFile(conntrackMax)
		check(t, err)
		return strings.TrimSpace(string(raw))
	}
	before := read()
	few, err := raiseLimits("", 1)
	check(t, err)
	if now := read(); now != before {
		t.Errorf("limit for few connections: %s, was %s", now, before)
	}
	many, err := raiseLimits("", 1_000_000)
	check(t, err)
	if now := read(); now != "2000000" {
		t.Errorf("limit for many connections: %s", now)
	}
	check(t, many.restore())
	check(t, few.restore())
	if now := read(); now != before {
		t.Errorf("limit at the end: %s, was %s", now, before)
	}
}
