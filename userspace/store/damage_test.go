// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairway-project/fairway/userspace/model"
)

// largeFile makes a state file with branch, leaf and overflow pages and free
// ones, and returns its content.
func largeFile(t *testing.T, dir string) []byte {
	t.Helper()
	path := filepath.Join(dir, "large.db")
	s := mustOpen(t, path)
	for round := range 3 {
		err := s.Update(func(tx *Tx) error {
			for i := range 300 {
				e := sample().Endpoints[0]
				e.ID = fmt.Sprintf("%064d", i)
				e.Aliases = []string{fmt.Sprint("round-", round)}
				if err := tx.PutEndpoint(&e); err != nil {
					return err
				}
			}
			sb := sample().Sandboxes[0]
			for port := range uint16(500) {
				sb.Exposed = append(sb.Exposed, model.Port{Num: port + 1, Proto: model.UDP})
			}
			return tx.PutSandbox(&sb)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkImage(content); err != nil {
		t.Fatalf("a sound file is refused: %v", err)
	}
	return content
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTruncatedFiles(t *testing.T) {
	dir := t.TempDir()
	content := largeFile(t, dir)
	m, err := newestMeta(content)
	if err != nil {
		t.Fatal(err)
	}
	inUse := int(m.pages) * int(m.pageSize)
	path := filepath.Join(dir, "state.db")
	for length := 1; length < inUse; length += 1 + length/7 {
		write(t, path, content[:length])
		checkRefused(t, path, ErrCorrupt)
	}
	write(t, path, content[:inUse-1])
	checkRefused(t, path, ErrCorrupt)
	write(t, path, content[:inUse])
	mustOpen(t, path)
}

// TestDamagedFiles changes random bytes: each file is either refused untouched
// or holds a state that was saved whole (the damage hit a free page, padding or
// the older meta page; or the newest, and the state is one transaction older).
func TestDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	content := largeFile(t, dir)
	path := filepath.Join(dir, "state.db")
	refused := 0
	for seed := range uint64(400) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		damaged := append([]byte(nil), content...)
		switch seed % 4 {
		case 0: // one bit
			damaged[rnd.IntN(len(damaged))] ^= 1 << rnd.IntN(8)
		case 1: // one byte among a page's headers and elements
			page := rnd.IntN(len(damaged) / 4096)
			damaged[page*4096+rnd.IntN(64)] = byte(rnd.Uint32())
		case 2: // a page lost
			page := rnd.IntN(len(damaged) / 4096)
			clear(damaged[page*4096 : page*4096+4096])
		case 3: // a page of noise
			page := rnd.IntN(len(damaged) / 4096)
			for i := range 4096 {
				damaged[page*4096+i] = byte(rnd.Uint32())
			}
		}
		write(t, path, damaged)
		if refusedOrWhole(t, path) {
			refused++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d of 400 refused", refused)
	if refused < 100 {
		t.Errorf("only %d of 400 damaged files were noticed", refused)
	}
}

func refusedOrWhole(t *testing.T, path string) (refused bool) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign) {
			t.Errorf("got %v", err)
		}
		after, rerr := os.ReadFile(path)
		if rerr != nil || string(after) != string(before) {
			t.Errorf("the refused file was changed (%v)", rerr)
		}
		return true
	}
	defer s.Close()
	st, err := s.Load()
	if err != nil {
		t.Error(err)
	}
	if len(st.Endpoints) != 300 || len(st.Sandboxes) != 1 {
		t.Errorf("%d endpoints and %d sandboxes came out of a damaged file", len(st.Endpoints), len(st.Sandboxes))
	}
	for _, e := range st.Endpoints {
		if e.Aliases[0] != st.Endpoints[0].Aliases[0] {
			t.Error("endpoints of different transactions")
		}
	}
	return false
}

// TestTruncatedWhileOpen: the fault in the memory map becomes an error.
func TestTruncatedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.db")
	write(t, path, largeFile(t, dir))
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want %v", err, ErrCorrupt)
	}
}
