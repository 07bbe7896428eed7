// SPDX-License-Identifier: Apache-2.0

package test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/google/go-cmp/cmp"
)

// The page and the suite's expectations list the same differences.
func TestDifferencesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed, tested []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([A-Z]+-[0-9]+[a-z]?) \|`).FindAllStringSubmatch(string(page), -1) {
		listed = append(listed, m[1])
	}
	for _, d := range harness.Differences() {
		tested = append(tested, d.ID)
	}
	slices.Sort(tested)
	if diff := cmp.Diff(tested, listed); diff != "" {
		t.Errorf("docs/differences.md (-suite +page):\n%s", diff)
	}
}
