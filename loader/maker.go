// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Replacement tells of tables with another layout that Switch has ended the use of.
type Replacement struct {
	// Of names the build that worked with them; empty if it left no note.
	Of string
	At time.Time
	// Carried is how many connections were carried over, Lost how many had no room, or
	// had lost their tuple to another.
	Carried, Lost int
	// Broke says that connections through address translation couldn't be.
	Broke bool
}

// Replaced returns what this process's Switch has replaced; nil if there was nothing.
func (l *Loader) Replaced() *Replacement { return l.replaced }

// makerNote is where a build leaves its name for the next one, of another version perhaps.
// It is in the run directory, because nothing but pins can lie on bpffs, and both go with a
// reboot.
func (c Config) makerNote() string { return filepath.Join(c.RunDir, "tables-of") }

// maker reads which build worked with the tables last.
func (c Config) maker() string {
	raw, err := os.ReadFile(c.makerNote())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// leaveName notes that this build works with the tables.
func (c Config) leaveName() error {
	if c.Build == "" {
		return nil
	}
	if err := os.WriteFile(c.makerNote(), []byte(c.Build+"\n"), 0o600); err != nil {
		return fmt.Errorf("note of the tables' version: %w", err)
	}
	return nil
}

// tellName is leaveName where all has been done: without the note a later start says less,
// and nothing else.
func (c Config) tellName() {
	if err := c.leaveName(); err != nil {
		c.Logger.Warn("the next start won't know whose tables these are", "err", err)
	}
}

func (c Config) removeName() error {
	if err := os.Remove(c.makerNote()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("note of the tables' version: %w", err)
	}
	return nil
}
