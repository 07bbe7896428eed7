// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/bench/plan"
)

// World is one that is built. Its methods are for one goroutine at a time.
type World struct {
	Options
	env     plan.Env
	carrier carrier
	lan     string
	host    string
	limits  *limits
	nodes   []*node
	added   int
	// served is how many services there are.
	served int
}

// node is a container that is there.
type node struct {
	Container
	netns    string
	ip4, ip6 netip.Addr
	mac      net.HardwareAddr
}

// device is what a container's interface is called in all arms.
const device = "eth0"

// carrier is what tells an arm from another.
type carrier interface {
	// start brings the host up; the LAN's link is there if the arm has a host.
	start(ctx context.Context) error
	// add makes the container's namespace and connects it. On an error nothing is
	// left but what close removes.
	add(ctx context.Context, n *node) error
	// remove takes the container and its namespace away.
	remove(ctx context.Context, n *node) error
	// ends are the two of a walk, or an error that wraps plan.ErrUnavailable.
	ends(walk plan.Walk, f plan.Family) (Ends, error)
	// check says what the counters of a walk have to be, in units of its traffic.
	check(before, now Counters, t Traffic) (string, error)
	// close ends and removes what start made, as far as there is any.
	close(ctx context.Context) error
}

// New builds a world. ctx is for building only.
func New(ctx context.Context, env plan.Env, o Options) (*World, error) {
	w := &World{Options: o, env: env, lan: env.Netns + "/lan", host: env.Netns + "/host"}
	err := w.build(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("arm %s: %w", o.Arm, err), w.Close())
	}
	return w, nil
}

func (w *World) build(ctx context.Context) (err error) {
	if w.carrier, err = newCarrier(w); err != nil {
		return err
	}
	if w.limits, err = raiseLimits(w.env.Proc, w.Connections); err != nil {
		return err
	}
	if w.hasHost() {
		if err := w.wireLAN(); err != nil {
			return err
		}
	}
	if err := w.carrier.start(ctx); err != nil {
		return err
	}
	for _, c := range w.Containers {
		if err := w.Add(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

func newCarrier(w *World) (carrier, error) {
	switch w.Arm {
	case plan.Veth:
		return &pair{w: w}, nil
	case plan.VethXDP:
		return &pairXDP{pair: pair{w: w}}, nil
	case plan.Route:
		return &route{w: w}, nil
	case plan.NFTables:
		return &nftables{bridge: bridge{w: w}}, nil
	case plan.HAProxy:
		return &haproxy{bridge: bridge{w: w}}, nil
	case plan.IPVS:
		return &ipvs{bridge: bridge{w: w}}, nil
	case plan.Redirect, plan.Lookup:
		return &redirecting{bridge: bridge{w: w}}, nil
	case plan.IPTables, plan.IPTablesLegacy, plan.EBPF, plan.XDP:
		return &fairway{w: w}, nil
	case plan.Docker, plan.DockerNoProxy:
		return &docker{w: w}, nil
	}
	return nil, fmt.Errorf("%w: it carries no traffic", plan.ErrUnavailable)
}

// Add makes one more container.
func (w *World) Add(ctx context.Context, c Container) error {
	n := &node{
		Container: c, netns: w.env.Netns + "/" + c.Name,
		ip4: containerIP(network4, w.added), ip6: containerIP(network6, w.added),
	}
	w.added++
	if err := w.carrier.add(ctx, n); err != nil {
		return fmt.Errorf("container %s: %w", c.Name, err)
	}
	w.nodes = append(w.nodes, n)
	return nil
}

// Remove takes a container away.
func (w *World) Remove(ctx context.Context, name string) error {
	i := slices.IndexFunc(w.nodes, func(n *node) bool { return n.Name == name })
	if i < 0 {
		return fmt.Errorf("container %s: isn't there", name)
	}
	if err := w.carrier.remove(ctx, w.nodes[i]); err != nil {
		return fmt.Errorf("container %s: %w", name, err)
	}
	w.nodes = slices.Delete(w.nodes, i, i+1)
	return nil
}

// node is the i-th container.
func (w *World) node(i int) (*node, error) {
	if i >= len(w.nodes) {
		return nil, fmt.Errorf("the walk needs %d containers, there are %d", i+1, len(w.nodes))
	}
	return w.nodes[i], nil
}

// Host is the namespace of the host; the arms veth and veth-xdp have none.
func (w *World) Host() string { return w.host }

func (w *World) hasHost() bool { return w.Arm != plan.Veth && w.Arm != plan.VethXDP }

// Close removes everything, also of a world that was never finished; nil has nothing. It
// doesn't look at the context that the world was built with.
func (w *World) Close() error {
	if w == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	var errs []error
	remove := func(n *node) error { return w.carrier.remove(ctx, n) }
	if w.served > 0 && w.carrier != nil {
		// All at once: each container that goes changes each service.
		errs = append(errs, w.carrier.close(ctx))
		w.carrier, remove = nil, func(n *node) error { return removeNetns(n.netns) }
	}
	for _, n := range slices.Backward(w.nodes) {
		errs = append(errs, remove(n))
	}
	w.nodes = nil
	if w.carrier != nil {
		errs = append(errs, w.carrier.close(ctx))
	}
	errs = append(errs, removeNetns(w.lan), removeNetns(w.host), w.limits.restore())
	return errors.Join(errs...)
}
