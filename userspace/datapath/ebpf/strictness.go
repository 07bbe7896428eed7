// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// strictness is conntrack's habit of calling TCP segments invalid whose numbers don't
// follow from those that it saw, as most do here: it sees the first of each second.
// What it was before is noted in dir, for the time after first-packet mode.
type strictness struct {
	dir string
}

// liberal is 1 where only resets outside of the window are invalid
// (Documentation/networking/nf_conntrack-sysctl.rst).
const liberal = "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal"

func (s strictness) note() string { return filepath.Join(s.dir, "conntrack-was-strict") }

// loosen works in the thread's network namespace. Without conntrack there is nothing
// to do (yet).
func (s strictness) loosen() error {
	raw, err := os.ReadFile(liberal)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	if strings.TrimSpace(string(raw)) != "0" {
		return nil
	}
	if err := os.WriteFile(s.note(), nil, 0o600); err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	if err := os.WriteFile(liberal, []byte("1"), 0); err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	return nil
}

// restore undoes loosen.
func (s strictness) restore() error {
	if _, err := os.Stat(s.note()); err != nil {
		return nil
	}
	if err := os.WriteFile(liberal, []byte("0"), 0); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("conntrack: %w", err)
	}
	if err := os.Remove(s.note()); err != nil {
		return fmt.Errorf("conntrack: %w", err)
	}
	return nil
}
