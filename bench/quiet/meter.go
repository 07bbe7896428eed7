// SPDX-License-Identifier: Apache-2.0

package quiet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Meter reads a procfs. The zero value reads /proc; a process in a PID namespace
// of its own needs one of the machine's, or it would see only itself.
type Meter struct {
	Proc string
	// Own is the process whose descendants are no foreigners, as Proc has it; 0
	// for the one that reads.
	Own int
}

// Reading is the machine at one moment.
type Reading struct {
	at      time.Time
	foreign map[int]process
	steal   time.Duration
	stalled map[string]time.Duration
}

// tick is how /proc counts time: USER_HZ is 100 on every architecture that Go has.
const tick = 10 * time.Millisecond

func (m Meter) path(parts ...string) string {
	proc := m.Proc
	if proc == "" {
		proc = "/proc"
	}
	return filepath.Join(append([]string{proc}, parts...)...)
}

// Read takes a reading.
func (m Meter) Read() (Reading, error) {
	all, err := m.processes()
	if err != nil {
		return Reading{}, err
	}
	own, err := m.own()
	if err != nil {
		return Reading{}, err
	}
	r := Reading{at: time.Now(), foreign: foreign(all, own), stalled: map[string]time.Duration{}}
	if r.steal, err = m.steal(); err != nil {
		return Reading{}, err
	}
	for _, what := range []string{"memory", "io"} {
		if r.stalled[what], err = m.stalled(what); err != nil {
			return Reading{}, err
		}
	}
	return r, nil
}

func (m Meter) own() (int, error) {
	if m.Own != 0 {
		return m.Own, nil
	}
	self, err := os.Readlink(m.path("self"))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(self)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", m.path("self"), err)
	}
	return pid, nil
}

// steal is the eighth number of /proc/stat's first line (proc(5)).
func (m Meter) steal() (time.Duration, error) {
	text, err := os.ReadFile(m.path("stat"))
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("%s: unknown first line %q", m.path("stat"), line)
	}
	n, err := strconv.ParseInt(fields[8], 10, 64)
	return time.Duration(n) * tick, err
}

// stalled is the total of the line "some". A kernel without PSI tells nothing.
func (m Meter) stalled(what string) (time.Duration, error) {
	text, err := os.ReadFile(m.path("pressure", what))
	if errors.Is(err, fs.ErrNotExist) || err != nil && strings.Contains(err.Error(), "not supported") {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	_, total, ok := strings.Cut(line, " total=")
	if !ok || !strings.HasPrefix(line, "some ") {
		return 0, fmt.Errorf("%s: unknown first line %q", m.path("pressure", what), line)
	}
	n, err := strconv.ParseInt(total, 10, 64)
	return time.Duration(n) * time.Microsecond, err
}
