// SPDX-License-Identifier: Apache-2.0

package world

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// limits are the machine's settings for connection tracking. Only its first
// network namespace can change them, and they hold in all.
type limits struct{ before map[string]string }

const conntrackMax, conntrackBuckets = "/proc/sys/net/netfilter/nf_conntrack_max", "/proc/sys/net/netfilter/nf_conntrack_buckets"

// raiseLimits makes room for twice as many connections as there will be, as every
// arm with a table of its own has. restore undoes it.
func raiseLimits(connections int) (*limits, error) {
	l := &limits{before: map[string]string{}}
	for _, name := range []string{conntrackMax, conntrackBuckets} {
		if err := l.raise(name, 2*connections); err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *limits) raise(name string, wanted int) error {
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no connection tracking, or not yet: the default is enough for most
	}
	if err != nil {
		return err
	}
	text := strings.TrimSpace(string(raw))
	if n, err := strconv.Atoi(text); err != nil || n >= wanted {
		return err
	}
	if err := os.WriteFile(name, []byte(strconv.Itoa(wanted)), 0o644); err != nil {
		return fmt.Errorf("room for %d connections: %w", wanted, err)
	}
	l.before[name] = text
	return nil
}

func (l *limits) restore() error {
	if l == nil {
		return nil
	}
	var errs []error
	for name, text := range l.before {
		errs = append(errs, os.WriteFile(name, []byte(text), 0o644))
	}
	return errors.Join(errs...)
}
