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

// growing is a client during whose every read the sandbox writes on.
type growing struct {
	log   *os.File
	shown bytes.Buffer
}

func (g *growing) Write(p []byte) (int, error) {
	// Not for ever, so that a test which fails ends.
	if g.shown.Len() < 1<<20 {
		if _, err := g.log.Write(p); err != nil {
			return 0, err
		}
	}
	return g.shown.Write(p)
}

func growingLog(t *testing.T) (*growing, *os.File) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return &growing{log: out}, in
}

// A log that grows while it is shown ends where it ended when that began; what came
// since is for the next time.
func TestGrowingLog(t *testing.T) {
	g, f := growingLog(t)
	for _, want := range []string{"line\n", "line\nline\n", "line\nline\nline\n"} {
		if err := copyLog(g, f); err != nil {
			t.Fatal(err)
		}
		if got := g.shown.String(); got != want {
			t.Fatalf("shown: %d bytes, want %q", len(got), want)
		}
	}
}
