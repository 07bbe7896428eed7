// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTailOffset(t *testing.T) {
	long := strings.Repeat("x", logBlock-2)
	for _, tc := range []struct {
		text  string
		lines int
		want  string
	}{
		{"", 3, ""}, {"\n", 1, "\n"}, {"\n\n", 1, "\n"}, {"\n\n", 2, "\n\n"},
		{"a\nb\nc\n", 0, ""}, {"a\nb\nc\n", 1, "c\n"}, {"a\nb\nc\n", 2, "b\nc\n"}, {"a\nb\nc\n", 3, "a\nb\nc\n"}, {"a\nb\nc\n", 4, "a\nb\nc\n"},
		{"a\nb\nc", 1, "c"}, {"a\nb\nc", 2, "b\nc"}, {"a", 1, "a"},
		// Lines that end where a block does, and longer ones.
		{"a\n" + long + "\n", 1, long + "\n"}, {"a\n" + long + "b\n", 1, long + "b\n"}, {"a\n" + long + long + "\nc\n", 2, long + long + "\nc\n"},
		{strings.Repeat("1234567\n", logBlock), 2 * logBlock, strings.Repeat("1234567\n", logBlock)},
		{strings.Repeat("1234567\n", logBlock), 5000, strings.Repeat("1234567\n", 5000)},
	} {
		at, err := tailOffset(strings.NewReader(tc.text), int64(len(tc.text)), tc.lines)
		if err != nil || tc.text[at:] != tc.want {
			t.Errorf("last %d lines of %d bytes: from %d, %v; want %d bytes", tc.lines, len(tc.text), at, err, len(tc.want))
		}
	}
}

// A log that somebody empties goes on from its beginning.
func TestShortenedLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write := func(text string, flags int) {
		out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|flags, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		if _, err := out.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	write("before\n", 0)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var shown bytes.Buffer
	for _, text := range []string{"", "new\n", "on\n"} {
		if text == "new\n" {
			write(text, os.O_TRUNC)
		} else {
			write(text, os.O_APPEND)
		}
		if err := copyLog(&shown, f); err != nil {
			t.Fatal(err)
		}
	}
	if got := shown.String(); got != "before\nnew\non\n" {
		t.Errorf("shown: %q", got)
	}
}
