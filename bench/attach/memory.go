// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
)

// memory fills and empties a daemon that was started for that.
type memory struct {
	crowd
	present int
}

func (m *memory) start(ctx context.Context) error {
	if err := m.build(ctx); err != nil {
		return err
	}
	for i := range m.present {
		if err := m.namespace(member(i)); err != nil {
			return err
		}
	}
	return nil
}

// taken is memory in bytes.
type taken struct{ daemon, kernel uint64 }

// Slice implements plan.Instance.
func (m *memory) Slice(ctx context.Context, _ time.Duration) (plan.Sample, error) {
	// An older heap has room from before.
	if _, err := m.world.Restart(ctx); err != nil {
		return plan.Sample{}, err
	}
	before, err := m.read()
	if err != nil {
		return plan.Sample{}, err
	}
	if err := m.each(func(name string) error { return m.attach(ctx, name) }); err != nil {
		return plan.Sample{}, err
	}
	after, err := m.read()
	if err != nil {
		return plan.Sample{}, err
	}
	grown := func(now, then uint64) float64 { return max(0, float64(now)-float64(then)) / float64(m.present) }
	return plan.Sample{
		Values: []float64{grown(after.daemon, before.daemon), grown(after.kernel, before.kernel), float64(after.daemon)},
		Ops:    uint64(m.present),
	}, m.each(func(name string) error { return m.detach(ctx, name) })
}

func (m *memory) each(f func(name string) error) error {
	for i := range m.present {
		if err := f(member(i)); err != nil {
			return fmt.Errorf("endpoint %d of %d: %w", i+1, m.present, err)
		}
	}
	return nil
}

func (m *memory) read() (taken, error) {
	daemon, err := kilobytes(fmt.Sprintf("/proc/%d/status", m.world.DaemonPID()), "VmRSS")
	kernel, kernelErr := kilobytes("/proc/meminfo", "Slab", "Percpu", "VmallocUsed")
	return taken{daemon: 1024 * daemon, kernel: 1024 * kernel}, errors.Join(err, kernelErr)
}

// kilobytes adds lines like "Slab:  123 kB" of a file in /proc.
func kilobytes(path string, names ...string) (sum uint64, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	found := 0
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		if !slices.Contains(names, name) {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		sum += n
		found++
	}
	if found != len(names) {
		return 0, fmt.Errorf("%s: %d of %v", path, found, names)
	}
	return sum, nil
}

// Prove implements plan.Instance. No packet is part of it.
func (m *memory) Prove(ctx context.Context) (plan.Proof, error) {
	status, err := m.client.Status(ctx)
	if err != nil {
		return plan.Proof{}, err
	}
	return plan.Proof{Text: fmt.Sprintf("the daemon is in mode %s", status.Datapath.Mode)}, nil
}
