// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

// memory is of a daemon with many services.
type memory struct {
	host
	services, backends int
	members            []string
	// rate is at which services were made; made is what the daemon took when all were, peak the
	// most meanwhile, rested what it took when it had nothing more to do.
	rate, made, peak, rested float64
}

// How long the daemon is looked at until it has given back what making took, which it does when it
// has made little garbage for a while. A small one keeps that.
const (
	restPatience = 90 * time.Second
	restLook     = time.Second
	small        = 64 << 20
)

// wide is a network that has room for many services.
const wide = "wide"

func (m *memory) start(ctx context.Context) (err error) {
	if m.world, err = world.New(ctx, m.env, world.Options{Arm: m.arm}); err != nil {
		return err
	}
	client := m.world.Client()
	_, err = client.CreateNetwork(ctx, request.NetworkCreate{
		Name: wide, IPAM: []request.IPAMConfig{{Subnet: netip.MustParsePrefix("172.31.0.0/16")}},
	})
	if err != nil {
		return err
	}
	for i := range m.backends {
		if err := m.member(ctx, fmt.Sprintf("m%d", i)); err != nil {
			return err
		}
	}
	begun := time.Now()
	for i := range m.services {
		_, err := client.CreateService(ctx, request.ServiceCreate{
			Name: fmt.Sprintf("service%d", i), Networks: []string{wide},
			ServiceSpec: request.ServiceSpec{Ports: []string{fmt.Sprint(firstPort)}, Selector: map[string]string{"app": service}},
		})
		if err != nil {
			return fmt.Errorf("service %d of %d: %w", i+1, m.services, err)
		}
	}
	m.rate = float64(m.services) / time.Since(begun).Seconds()
	if m.made, err = m.memory("VmRSS:"); err != nil {
		return err
	}
	if m.peak, err = m.memory("VmHWM:"); err != nil {
		return err
	}
	return m.rest(ctx)
}

// rest waits until the daemon takes less than it did, or has had the time for it.
func (m *memory) rest(ctx context.Context) (err error) {
	for end := time.Now().Add(restPatience); ; {
		if m.rested, err = m.memory("VmRSS:"); err != nil {
			return err
		}
		if m.made < small || m.rested < 0.9*m.made || time.Now().After(end) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(restLook):
		}
	}
}

func (m *memory) path(name string) string { return filepath.Join(m.env.Netns, name) }

func (m *memory) member(ctx context.Context, name string) error {
	if err := netns.Create(m.path(name)); err != nil {
		return err
	}
	m.members = append(m.members, name)
	_, err := m.world.Client().Add(ctx, request.Add{Netns: m.path(name), SandboxConfig: request.SandboxConfig{
		Name: name, Labels: map[string]string{"app": service}, Networks: []request.EndpointSettings{{Network: wide}},
	}})
	return err
}

// memory is the daemon's in bytes, by the kernel's name for it.
func (m *memory) memory(name string) (float64, error) {
	path := fmt.Sprintf("/proc/%d/status", m.world.DaemonPID())
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if size, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(size), " kB"), 64)
			return 1024 * n, err
		}
	}
	return 0, fmt.Errorf("%s: no %s", path, name)
}

// Slice implements plan.Instance: one start of the daemon, with all services there.
func (m *memory) Slice(ctx context.Context, _ time.Duration) (plan.Sample, error) {
	if _, err := m.world.Restart(ctx); err != nil {
		return plan.Sample{}, err
	}
	again, err := m.memory("VmRSS:")
	return plan.Sample{Values: []float64{m.made, m.peak, m.rested, again, m.rate}, Ops: uint64(m.services)}, err
}

// Prove implements plan.Instance: all backends of all services get flows.
func (m *memory) Prove(ctx context.Context) (plan.Proof, error) {
	list, err := m.world.Client().Services(ctx, nil)
	if err != nil {
		return plan.Proof{}, err
	}
	active := 0
	for _, s := range list {
		active += s.BackendCount.Active
	}
	text := fmt.Sprintf("%d services with %d active backends", len(list), active)
	if len(list) != m.services || active != m.services*m.backends {
		return plan.Proof{}, fmt.Errorf("%w: %s", plan.ErrWrongWay, text)
	}
	return plan.Proof{Text: text}, nil
}

// Close implements plan.Instance. The world goes as a whole, which is faster than one service
// after another.
func (m *memory) Close() error {
	err := m.world.Abandon()
	err = errors.Join(err, m.host.Close())
	for _, name := range m.members {
		err = errors.Join(err, netns.Delete(m.path(name)))
	}
	return err
}
