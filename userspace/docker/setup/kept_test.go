// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairway-project/fairway/userspace/store"
)

func openStore(t *testing.T, root string) Stored {
	t.Helper()
	s, err := store.Open(filepath.Join(root, store.FileName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return Stored{s, root}
}

// expectKept demands what is kept, "" for a file that wasn't there, and none for nothing.
func expectKept(t *testing.T, what string, k Keeper, want string) {
	t.Helper()
	content, kept, err := k.Kept(t.Context())
	if err != nil || kept != (want != none) || kept && string(content) != want {
		t.Errorf("%s: kept %q (%t), %v, want %q", what, content, kept, err, want)
	}
}

const none = "none"

func former(t *testing.T, root, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(root, formerName), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What is kept first stays, whoever has the store open, until it is forgotten.
func TestKept(t *testing.T) {
	for _, content := range []string{"{}", ""} {
		root := filepath.Join(t.TempDir(), "new")
		rest := AtRest{root}
		expectKept(t, "at first", rest, none)
		if _, err := os.Stat(root); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("asking makes a state: %v", err)
		}
		if err := errors.Join(rest.Forget(t.Context()), rest.Keep(t.Context(), []byte(content))); err != nil {
			t.Fatal(err)
		}
		expectKept(t, "without a daemon", rest, content)
		running := openStore(t, root)
		if err := running.Keep(t.Context(), []byte("other")); err != nil {
			t.Fatal(err)
		}
		expectKept(t, "by a daemon", running, content)
		if bare, err := running.Store.Bare(); err != nil || !bare {
			t.Errorf("a state that only the setup has used is bare: %t, %v", bare, err)
		}
		if _, _, err := rest.Kept(t.Context()); !errors.Is(err, store.ErrLocked) {
			t.Errorf("beside a daemon: %v", err)
		}
		if err := running.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		expectKept(t, "forgotten", running, none)
	}
}

// The file of an earlier version moves into the store. Whenever that is broken off, what
// was kept is found, and the next start goes on.
func TestFormerFileMoves(t *testing.T) {
	for _, c := range []struct {
		what         string
		file, record string
		want         string
	}{
		{"nothing is there", none, none, none},
		{"a file", "{}", none, "{}"},
		{"a file that stands for none", "", none, ""},
		{"killed before the file was removed", "{}", "{}", "{}"},
		{"an earlier version set up what was Fairway's", "later", "{}", "{}"},
	} {
		root := t.TempDir()
		s := openStore(t, root)
		if c.record != none {
			if err := s.Keep(t.Context(), []byte(c.record)); err != nil {
				t.Fatal(err)
			}
		}
		if c.file != none {
			former(t, root, c.file)
		}
		expectKept(t, c.what, s, c.want)
		for range 2 {
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			expectKept(t, c.what+", moved", s, c.want)
			if _, err := os.Stat(s.former()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: the file is still there: %v", c.what, err)
			}
		}
		// A purge takes the store, and the undo works all the same.
		if err := s.PutAside(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(root, store.FileName)); err != nil {
			t.Fatal(err)
		}
		expectKept(t, c.what+", after a purge", AtRest{root}, c.want)
		if err := (AtRest{root}).Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left, err := filepath.Glob(filepath.Join(root, "*")); err != nil || len(left) > 0 {
			t.Errorf("%s: left %q, %v", c.what, left, err)
		}
	}
}
