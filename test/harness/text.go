// SPDX-License-Identifier: Apache-2.0

package harness

import "strings"

// CountLines counts the lines that have text.
func CountLines(out, text string) (n int) {
	for line := range strings.Lines(out) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}
