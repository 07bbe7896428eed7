// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
)

const (
	// echoPort is published as itself.
	echoPort = 7000
	// echoRate is a fraction of what one CPU makes, in requests per second.
	echoRate = 2000
	// expiry is soon enough for connections to be collected within a slice.
	expiry = "2"
	// collected is long enough for a collection of Fairway's, which comes every 5 s.
	collected = 8 * time.Second
)

// expiring is how many connections end, in the name of a case.
const expiring = "expiring"

func (w flows) collection(n int) plan.Case {
	c := w.newCase(ofCollection, plan.LANToPublished, plan.IPv4, 0)
	c.Params = append(c.Params, plan.Param{Key: expiring, Value: decimal(n)})
	c.Arms, c.Group = []plan.Arm{plan.EBPF, plan.IPTables}, ofCollection
	c.Metrics = []plan.Metric{plan.TransactionsSec}
	c.Slice, c.Pairs = collected, 3
	return c
}

// startCollection makes a world with a server in it that answers by UDP.
func (flows) startCollection(ctx context.Context, env plan.Env, s plan.Subject) (plan.Instance, error) {
	i := newCollection(s)
	if err := i.start(ctx, env); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// collection is a world in which a request is answered now and then, while many
// connections come to their end.
type collection struct {
	steady
	subject        plan.Subject
	expiring       bool
	server, client *load.Side
	target         netip.AddrPort
	requests       uint64
}

// newCollection has as many connections as expire, if any do.
func newCollection(s plan.Subject) *collection {
	n, err := strconv.Atoi(s.Case.Value(expiring))
	i := &collection{subject: s, expiring: err == nil && n > 0}
	i.subject.Case.Flows = manyFlows
	if i.expiring {
		i.subject.Case.Flows = n
	}
	return i
}

func (i *collection) start(ctx context.Context, env plan.Env) error {
	o, err := i.options(env)
	if err != nil {
		return err
	}
	if i.world, err = world.New(ctx, env, o); err != nil {
		return err
	}
	return i.enter(ctx, env)
}

// options of its world, whose daemon lets connections expire soon.
func (i *collection) options(env plan.Env) (world.Options, error) {
	config := filepath.Join(env.Dir, "config.yaml")
	if err := os.WriteFile(config, []byte("timeouts:\n  udp: "+expiry+"s\n"), 0o644); err != nil {
		return world.Options{}, err
	}
	o := world.Options{
		Arm: i.subject.Arm, Containers: containers(), Connections: i.subject.Case.Flows, DaemonArgs: []string{"--config", config},
	}
	o.Containers[0].Publish = append(o.Containers[0].Publish, world.Port{Proto: "udp", Host: echoPort, Container: echoPort})
	return o, nil
}

// enter puts everybody into the world.
func (i *collection) enter(ctx context.Context, env plan.Env) error {
	if err := i.steady.enter(ctx, env, i.subject); err != nil {
		return err
	}
	// nf_conntrack has settings of the namespace instead.
	if err := i.world.SetSysctl("net/netfilter/nf_conntrack_udp_timeout", expiry); err != nil {
		return err
	}
	return i.serve(ctx, env, i.subject)
}

func (i *collection) serve(ctx context.Context, env plan.Env, s plan.Subject) (err error) {
	ends, err := i.world.Ends(s.Case.Walk, s.Case.Family)
	if err != nil {
		return err
	}
	i.target = ends.Target("udp", echoPort)
	if i.server, err = load.Start(load.Place{Netns: ends.Server.Netns, CPU: env.CPU}); err != nil {
		return err
	}
	if i.client, err = load.Start(load.Place{Netns: ends.Client.Netns, CPU: env.CPU}); err != nil {
		return err
	}
	_, err = i.server.Serve(ctx, load.Service{Kind: load.UDPRR, Addr: netip.AddrPortFrom(ends.Server.Addr, echoPort), Flows: 1})
	return err
}

// Slice implements plan.Instance.
func (i *collection) Slice(ctx context.Context, d time.Duration) (plan.Sample, error) {
	if err := i.world.Forget(); err != nil {
		return plan.Sample{}, err
	}
	if i.expiring {
		if err := i.lane.each(ctx, &i.lane.there); err != nil {
			return plan.Sample{}, err
		}
	}
	r, err := i.client.Run(ctx, load.Job{
		Kind: load.UDPRR, Targets: []netip.AddrPort{i.target}, Flows: 16, Rate: echoRate, Duration: d,
	})
	if err == nil {
		err = r.Clean()
	}
	i.requests += r.Transactions
	return plan.Sample{Values: []float64{r.Rate()}, Ops: r.Transactions, Latency: r.Latency}, err
}

// Prove implements plan.Instance. Connections that should have expired, and are
// still there, would have been in nobody's way. Netfilter's collector takes its
// time, which is how it is.
func (i *collection) Prove(ctx context.Context) (plan.Proof, error) {
	t := i.lane.traffic()
	t.Packets, t.ToServer, t.Flows = t.Packets+2*i.requests, t.ToServer+i.requests, 0
	if err := i.left(ctx); err != nil {
		return plan.Proof{}, err
	}
	return i.world.Prove(ctx, i.before, t)
}

// left refuses that more than half of the connections are there still that should have expired.
func (i *collection) left(ctx context.Context) error {
	if !i.expiring || !i.subject.Arm.OfEBPF() {
		return nil
	}
	now, err := i.world.Counters(ctx)
	if err != nil {
		return err
	}
	if left, all := max(now.Flows, now.Tracked), i.lane.there.generator.Flows(); left > all/2 {
		return wrongWay("%d of %d connections are left after a slice in which they expired", left, all)
	}
	return nil
}

// Close implements plan.Instance.
func (i *collection) Close() error {
	return errors.Join(i.endSides(), i.steady.Close())
}

func (i *collection) endSides() error {
	var errs []error
	for _, s := range []*load.Side{i.client, i.server} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}
