// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/loader"
)

// Where the directory of pinned objects was deleted there is nothing to pin again: each
// look says so in its error, and nothing in the log. One that was moved away, as one that
// was unmounted, is made again, and the log says that once.
func TestPinsAreKept(t *testing.T) {
	dir := fmt.Sprintf("/sys/fs/bpf/fwpins-%d/own", os.Getpid())
	t.Cleanup(func() {
		if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
			t.Error(err)
		}
	})
	if err := loader.PrepareDir(dir); err != nil {
		t.Fatal(err)
	}
	held, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	p := &pins{dir, held, slog.New(slog.NewTextHandler(&log, nil))}
	defer func() { _ = p.close() }()
	if err := os.Rename(dir, dir+"-moved"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.keep(); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "pinned again"); n != 1 || strings.Count(log.String(), "\n") != 1 {
		t.Errorf("the log after the directory was moved away:\n%s", log.String())
	}
	log.Reset()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := p.keep(); !errors.Is(err, loader.ErrPinsDeleted) {
			t.Errorf("after a deletion: %v", err)
		}
	}
	if log.Len() > 0 {
		t.Errorf("the log after a deletion:\n%s", log.String())
	}
}
