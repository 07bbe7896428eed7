// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// shortID is as much of an ID as Docker shows.
const shortID = 12

func (l listFlags) id(id string) string {
	if l.noTrunc {
		return id
	}
	return truncate(id, shortID)
}

// ellipsis shortens s to at most n characters, the last one being "…".
func ellipsis(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// labelText is labels as Docker lists them, in order of their keys.
func labelText(labels map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, key+"="+labels[key])
	}
	return strings.Join(list, ",")
}
