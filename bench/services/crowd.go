// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

// crowd is a world with a service, published to the LAN, whose backends come and go.
type crowd struct {
	host
	backends int
	// members are the backends' names, each that of its namespace too.
	members []string
	made    int
}

// Of the load that requests are lost from: as many as one CPU has no trouble with.
const (
	requestsSec = 1000
	openFlows   = 64
	// lostAfter is less than the kernel waits until it sends a SYN again.
	lostAfter = 900 * time.Millisecond
	// round is a part of the load: it goes on in rounds for as long as it has to.
	round      = 500 * time.Millisecond
	healthPort = 81
)

const service = "web"

// fill makes so many backends and the service.
func (c *crowd) fill(ctx context.Context, spec request.ServiceSpec, backends int) error {
	if err := c.build(ctx, plan.LANToPublished, world.Container{Name: "c0"}); err != nil {
		return err
	}
	for range backends {
		if _, err := c.add(ctx, c.server); err != nil {
			return err
		}
	}
	spec.Ports, spec.Publish = []string{fmt.Sprint(firstPort)}, []string{fmt.Sprintf("%d:%d", publishedPort, firstPort)}
	spec.Selector = map[string]string{"app": service}
	_, err := c.world.Client().CreateService(ctx, request.ServiceCreate{Name: service, Networks: []string{world.Network}, ServiceSpec: spec})
	if err != nil {
		return err
	}
	c.ends = c.ends.UseService(plan.LANToPublished, world.Service{First: firstPort, Published: publishedPort})
	if err := c.await(ctx, model.BackendActive, c.members...); err != nil {
		return err
	}
	return c.ready(ctx)
}

func (c *crowd) path(name string) string { return filepath.Join(c.env.Netns, name) }

// add makes one more backend, which serves before it is one.
func (c *crowd) add(ctx context.Context, server *load.Side) (string, error) {
	name := fmt.Sprintf("m%d", c.made)
	c.made++
	if err := netns.Create(c.path(name)); err != nil {
		return "", err
	}
	c.members = append(c.members, name)
	if err := c.serve(ctx, server, name); err != nil {
		return "", err
	}
	_, err := c.world.Client().Add(ctx, request.Add{Netns: c.path(name), SandboxConfig: request.SandboxConfig{
		Name: name, Labels: map[string]string{"app": service}, Networks: []request.EndpointSettings{{Network: world.Network}},
	}})
	return name, err
}

// serve has a process answer requests and checks in a backend's namespace.
func (c *crowd) serve(ctx context.Context, server *load.Side, name string) error {
	for _, s := range []load.Service{
		{Kind: load.CRR, Flows: openFlows, Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), firstPort)},
		{Kind: load.HTTP, Addr: netip.AddrPortFrom(netip.IPv4Unspecified(), healthPort)},
	} {
		s.Netns = c.path(name)
		if _, err := server.Serve(ctx, s); err != nil {
			return fmt.Errorf("backend %s: %w", name, err)
		}
	}
	return nil
}

// remove takes a backend away with its namespace.
func (c *crowd) remove(ctx context.Context, name string) error {
	if err := c.world.Client().Remove(ctx, name, true); err != nil {
		return err
	}
	c.members = slices.DeleteFunc(c.members, func(m string) bool { return m == name })
	return netns.Delete(c.path(name))
}

// until waits for a condition.
func until(ctx context.Context, what string, holds func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ok, err := holds()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// await waits until backends have a state.
func (c *crowd) await(ctx context.Context, state model.BackendState, names ...string) error {
	return until(ctx, fmt.Sprintf("backends %v to be %s", names, state), func() (bool, error) {
		list, err := c.world.Client().ServiceBackends(ctx, service, nil)
		n := 0
		for _, b := range list {
			if b.State == state && slices.Contains(names, b.Sandbox) {
				n++
			}
		}
		return n == len(names), err
	})
}

// idle waits until nobody is connected to a backend any more.
func (c *crowd) idle(ctx context.Context, name string) error {
	return until(ctx, "connections to "+name+" to end", func() (idle bool, err error) {
		err = netns.Do(c.path(name), func() error {
			raw, err := os.ReadFile("/proc/thread-self/net/tcp")
			idle = !connected(string(raw), firstPort)
			return err
		})
		return idle, err
	})
}

// connected reads the kernel's table of sockets (proc_pid_net(5)): whether one with this port
// is neither listening nor over.
func connected(table string, port uint16) bool {
	const local, state, timeWait, listen = 1, 3, "06", "0A"
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > state && strings.HasSuffix(f[local], fmt.Sprintf(":%04X", port)) && f[state] != timeWait && f[state] != listen {
			return true
		}
	}
	return false
}

// under has something happen under load, between the first of its rounds and the last, and
// returns how many requests were answered and how many were lost.
func (c *crowd) under(ctx context.Context, do func() error) (answered, failed uint64, err error) {
	if err := c.round(ctx, &answered, &failed); err != nil {
		return 0, 0, err
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	for {
		if err := c.round(ctx, &answered, &failed); err != nil {
			return 0, 0, errors.Join(err, <-done)
		}
		select {
		case err := <-done:
			err = errors.Join(err, c.round(ctx, &answered, &failed))
			return answered, failed, err
		default:
		}
	}
}

// round is a part of the load.
func (c *crowd) round(ctx context.Context, answered, failed *uint64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := c.client.Run(ctx, load.Job{
		Kind: load.CRR, Flows: openFlows, Rate: requestsSec, Duration: round, Timeout: lostAfter,
		Targets: []netip.AddrPort{c.ends.Target("tcp", firstPort)}, Sources: world.LANSources(plan.IPv4),
	})
	if err != nil {
		return err
	}
	*answered += r.Transactions
	*failed += r.Failed()
	// As of crr.
	c.traffic.ToServer += 4 * r.Transactions
	c.traffic.Packets += 7 * r.Transactions
	return nil
}

// Close implements plan.Instance.
func (c *crowd) Close() error {
	err := c.host.Close()
	for _, name := range c.members {
		err = errors.Join(err, netns.Delete(c.path(name)))
	}
	return err
}
