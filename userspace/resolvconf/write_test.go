// SPDX-License-Identifier: Apache-2.0

package resolvconf

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWriteKeepsInode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	var inode uint64
	for _, content := range []string{"first\n", "second, longer\n", "3\n", ""} {
		must(t, Write(path, []byte(content)))
		got, err := os.ReadFile(path)
		must(t, err)
		var st unix.Stat_t
		must(t, unix.Stat(path, &st))
		if string(got) != content || inode != 0 && st.Ino != inode || st.Mode&0o777 != 0o644 {
			t.Errorf("wrote %q: read %q, inode %d then %d, mode %o", content, got, inode, st.Ino, st.Mode)
		}
		inode = st.Ino
	}
	if err := Write(filepath.Join(path, "x"), nil); err == nil {
		t.Error("no error for a path below a file")
	}
}

// TestWriteUnderReaders reads all the time and always finds what stays the same.
func TestWriteUnderReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	short := []byte("127.0.0.1\tlocalhost\n")
	long := append(bytes.Clone(short), bytes.Repeat([]byte("172.17.0.2\ta-long-name\n"), 40)...)
	must(t, Write(path, long))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(got, short) {
				t.Errorf("a reader found %q, %v", got, err)
				return
			}
		}
	})
	for range 500 {
		must(t, Write(path, short))
		must(t, Write(path, long))
	}
	close(stop)
	readers.Wait()
}

func TestWriteUnlessEdited(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(content string, want bool) {
		t.Helper()
		if wrote, err := WriteUnlessEdited(path, []byte(content)); err != nil || wrote != want {
			t.Errorf("%q: wrote %v, %v, want %v", content, wrote, err, want)
		}
	}
	write("one\n", true)
	write("two\n", true)
	must(t, os.WriteFile(path, []byte("mine\n"), 0o644))
	write("three\n", false)
	if got, _ := os.ReadFile(path); string(got) != "mine\n" {
		t.Errorf("the user's edit became %q", got)
	}
	must(t, os.Remove(path))
	write("four\n", true)
}
