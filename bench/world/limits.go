// SPDX-License-Identifier: Apache-2.0

package world

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/netns"
)

// limits are the machine's settings for connection tracking. Only its first
// network namespace can change them, and they hold in all.
type limits struct {
	machine string // its first network namespace
	before  map[string]string
}

const conntrackMax, conntrackBuckets = "/proc/sys/net/netfilter/nf_conntrack_max", "/proc/sys/net/netfilter/nf_conntrack_buckets"

// raiseLimits makes room for twice as many connections as there will be, as every
// arm with a table of its own has. restore undoes it.
func raiseLimits(proc string, connections int) (*limits, error) {
	l := &limits{before: map[string]string{}}
	var err error
	if l.machine, err = machineNetns(cmp.Or(proc, "/proc")); err != nil {
		return l, err
	}
	err = netns.Do(l.machine, func() error {
		return errors.Join(l.raise(conntrackMax, 2*connections), l.raise(conntrackBuckets, 2*connections))
	})
	return l, err
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
	if len(l.before) == 0 {
		return nil
	}
	return netns.Do(l.machine, func() error {
		var errs []error
		for name, text := range l.before {
			errs = append(errs, os.WriteFile(name, []byte(text), 0o644))
		}
		return errors.Join(errs...)
	})
}

// machineNetns is the namespace of this process's farthest ancestor that it may look
// at: the process itself may be in one that was made for the benchmark.
func machineNetns(proc string) (string, error) {
	pid, err := os.Readlink(filepath.Join(proc, "self"))
	if err != nil {
		return "", err
	}
	var found string
	for pid != "0" {
		path := filepath.Join(proc, pid, "ns/net")
		ns, err := netns.Open(path)
		if err != nil {
			break
		}
		found = path
		if pid, err = parent(proc, pid); err != nil {
			return "", errors.Join(err, ns.Close())
		}
		if err := ns.Close(); err != nil {
			return "", err
		}
	}
	if found == "" {
		return "", fmt.Errorf("%s: none of this process's ancestors is in it", proc)
	}
	return found, nil
}

// parent reads the fourth field of proc(5)'s stat; the second, the name in
// parentheses, may have anything in it.
func parent(proc, pid string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(proc, pid, "stat"))
	if err != nil {
		return "", err
	}
	f := strings.Fields(string(raw)[strings.LastIndexByte(string(raw), ')')+1:])
	if len(f) < 2 {
		return "", fmt.Errorf("process %s: no parent in %q", pid, raw)
	}
	return f[1], nil
}
