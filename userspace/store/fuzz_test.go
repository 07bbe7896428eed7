// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"hash/fnv"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// soundFile returns the content of a state file with a record of each kind.
func soundFile(t testing.TB) ([]byte, State) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sound.db")
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	want := sample()
	err = s.Update(func(tx *Tx) error {
		return errors.Join(tx.PutNetwork(&want.Networks[0]), tx.PutEndpoint(&want.Endpoints[0]), tx.PutSandbox(&want.Sandboxes[0]), tx.PutService(&want.Services[0]))
	})
	if err != nil {
		t.Fatal(err)
	}
	saved, err := s.Load()
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content, saved
}

// sealMetas makes the checksums of the meta pages right again, so that what they say
// is believed.
func sealMetas(content []byte) {
	size := os.Getpagesize()
	for _, at := range []int{pageHeader, size + pageHeader} {
		if len(content) < at+metaLen {
			return
		}
		sum := fnv.New64a()
		sum.Write(content[at : at+metaLen-8])
		native.PutUint64(content[at+metaLen-8:], sum.Sum64())
	}
}

// FuzzOpen puts a patch into a sound file and cuts it off. It is refused as it is, or
// opened, with what was saved in it: records have checksums, so that no patch makes
// others. Transactions that are older, back to an empty state, are what was saved too.
func FuzzOpen(f *testing.F) {
	sound, saved := soundFile(f)
	page := uint32(os.Getpagesize())
	for at := range uint32(len(sound)) / page {
		f.Add(at*page+8, []byte{0x02}, uint32(len(sound)), true)        // another kind of page
		f.Add(at*page+10, []byte{0xff, 0xff}, uint32(len(sound)), true) // as many elements as there can be
		f.Add(at*page+12, []byte{0xff, 0xff, 0xff, 0xff}, uint32(len(sound)), false)
		f.Add(at*page+16, make([]byte, 64), at*page+page, true)
		f.Add(at*page+20, []byte{0xff, 0xff, 0xff, 0x7f}, uint32(len(sound)), true)
	}
	for _, field := range []uint32{8, 16, 32, 40, 48} { // of a meta page: page size, root, free list, pages, transaction
		f.Add(pageHeader+field, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, uint32(len(sound)), true)
		f.Add(page+pageHeader+field, []byte{2, 0, 0, 0}, uint32(len(sound)), true)
	}
	f.Add(uint32(0), []byte{}, uint32(0), false)
	path := filepath.Join(f.TempDir(), "state.db")
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, length uint32, seal bool) {
		content := append([]byte(nil), sound...)
		copy(content[min(int(at), len(content)):], patch)
		if seal {
			sealMetas(content)
		}
		content = content[:min(int(length), len(content))]
		if err := checkImage(content); err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrEmpty) && !errors.Is(err, ErrForeign) {
				t.Errorf("unexplained: %v", err)
			}
			return
		}
		openDamaged(t, path, content, saved)
	})
}

// openDamaged opens a file that passes for sound, changes it and opens it again.
func openDamaged(t *testing.T, path string, content []byte, saved State) {
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		refused(t, err)
		return
	}
	before, err := s.Load()
	if err != nil {
		t.Errorf("loads when it is opened and not after it: %v", err)
	}
	onlySaved(t, before, saved)
	if err := s.Update(func(tx *Tx) error { return tx.PutNetwork(&saved.Networks[0]) }); err != nil {
		refused(t, err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if s, err = Open(path); err != nil {
		refused(t, err)
		return
	}
	s.Close()
}

// refused wants an error that an operator is told of in words.
func refused(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrNewerVersion) {
		t.Errorf("unexplained: %v", err)
	}
}

// onlySaved wants no record that isn't in saved.
func onlySaved(t *testing.T, got, saved State) {
	t.Helper()
	if len(got.Networks) > 1 || len(got.Endpoints) > 1 || len(got.Sandboxes) > 1 {
		t.Fatalf("more than was saved: %+v", got)
	}
	for what, same := range map[string]bool{
		"network":  sameAs(got.Networks, saved.Networks),
		"endpoint": sameAs(got.Endpoints, saved.Endpoints),
		"sandbox":  sameAs(got.Sandboxes, saved.Sandboxes),
	} {
		if !same {
			t.Errorf("a %s that was never saved: %+v", what, got)
		}
	}
}

func sameAs[T any](got, saved []T) bool { return len(got) == 0 || reflect.DeepEqual(got, saved) }
