// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
)

// flood is what the clients of one port lose while another port is flooded.
type flood struct{}

func (flood) Name() string { return "flood" }
func (flood) About() string {
	return "flood from random sources at one published port, of SYN or of datagrams that are answered, while others serve"
}

func (flood) Arms() []plan.Arm {
	return []plan.Arm{plan.EBPF, plan.XDP, plan.IPTables, plan.NFTables, plan.DockerNoProxy}
}

// Ports of the container, and of the host.
const (
	floodedPort = 7001 + iota
	oldPort
	newPort
)

const (
	// establishedFlows are open before the flood begins.
	establishedFlows = 64
	// newRate is of new clients, per second; each has a second to be served.
	newRate, newFlows = 500, 128
	patience          = time.Second
	// settle is how long connections have to be established before the flood.
	settle = 500 * time.Millisecond
	// flooded is long enough for a table that is full to be full of the flood.
	flooded = 6 * time.Second
	// floodedSlowly is that for a flood which half the time fills the table.
	floodedSlowly = 16 * time.Second
)

// Cases implements plan.Workload.
func (w flood) Cases(s plan.Selection) []plan.Case {
	if s.Short {
		return nil
	}
	var cases []plan.Case
	for _, family := range s.FamiliesOr(plan.IPv4) {
		cases = append(cases, w.newCase(family, synFlood), w.newCase(family, udpFlood))
	}
	return cases
}

func (flood) newCase(f plan.Family, k floodKind) plan.Case {
	c := plan.Case{
		Walk: plan.LANToPublished, Family: f, Slice: flooded, Pairs: 3,
		Metrics: []plan.Metric{
			{Unit: "new-served", Better: plan.Higher}, {Unit: "established-lost", Better: plan.Lower},
			plan.TransactionsSec, {Unit: k.unit(), Better: plan.Neutral},
		},
	}
	if k == udpFlood {
		c.Params = []plan.Param{{Key: floodParam, Value: string(k)}}
		c.Arms, c.Slice = []plan.Arm{plan.EBPF, plan.IPTables}, floodedSlowly
	}
	return c
}

// floodParam says what a flood consists of, in the name of a case; SYN if nothing does.
const floodParam = "packets"

// kindOf returns what a case's flood consists of.
func kindOf(c plan.Case) floodKind { return floodKind(cmp.Or(c.Value(floodParam), string(synFlood))) }

// Start implements plan.Workload.
func (flood) Start(ctx context.Context, env plan.Env, s plan.Subject) (plan.Instance, error) {
	i := &siege{}
	if err := i.start(ctx, env, s); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// siege is a world with a server, clients that have connections, clients that want
// some, and someone who wants them not to.
type siege struct {
	world            *world.World
	server, old, new *load.Side
	attack           *attack
	oldJob, newJob   load.Job
	before           world.Counters
	answered         uint64
	// came is what the uplink had received, or had no room for, before any of this.
	came uint64
}

func (i *siege) start(ctx context.Context, env plan.Env, s plan.Subject) (err error) {
	containers := []world.Container{{Name: "c0", Publish: floodPorts()}}
	if i.world, err = world.New(ctx, env, world.Options{Arm: s.Arm, Containers: containers}); err != nil {
		return err
	}
	return i.enter(ctx, env, s, floodFill)
}

// floodPorts are the container's.
func floodPorts() []world.Port {
	return []world.Port{
		{Proto: "tcp", Host: floodedPort, Container: floodedPort, Count: 3},
		{Proto: "udp", Host: floodedPort, Container: floodedPort, Count: 1},
	}
}

// enter puts everybody into the world. The flood begins with so many packets.
func (i *siege) enter(ctx context.Context, env plan.Env, s plan.Subject, fill uint64) (err error) {
	if err = i.world.Meet(ctx, s.Case.Family); err != nil {
		return err
	}
	if i.before, err = i.world.Counters(ctx); err != nil {
		return err
	}
	ends, err := i.world.Ends(s.Case.Walk, s.Case.Family)
	if err != nil {
		return err
	}
	if err := i.serve(ctx, ends, env.CPU); err != nil {
		return err
	}
	received, dropped, err := i.world.UplinkReceived()
	if err != nil {
		return err
	}
	i.came = received + dropped
	i.attack, err = newAttack(i.world, ends, s.Case.Family, kindOf(s.Case), otherCPU(env.CPU))
	if err == nil {
		i.attack.first = fill
	}
	return err
}

func (i *siege) serve(ctx context.Context, e world.Ends, cpu int) (err error) {
	for _, side := range []struct {
		to    **load.Side
		netns string
	}{{&i.server, e.Server.Netns}, {&i.old, e.Client.Netns}, {&i.new, e.Client.Netns}} {
		if *side.to, err = load.Start(load.Place{Netns: side.netns, CPU: cpu}); err != nil {
			return err
		}
	}
	for _, s := range []load.Service{
		{Kind: load.CRR, Flows: 1}, {Kind: load.UDPRR, Flows: 1},
		{Kind: load.RR, Flows: establishedFlows}, {Kind: load.CRR, Flows: newFlows},
	} {
		port := map[load.Kind]uint16{load.RR: oldPort, load.CRR: newPort}[s.Kind]
		if s.Flows == 1 {
			port = floodedPort
		}
		s.Addr = netip.AddrPortFrom(e.Server.Addr, port)
		if _, err := i.server.Serve(ctx, s); err != nil {
			return err
		}
	}
	i.oldJob = load.Job{Kind: load.RR, Targets: []netip.AddrPort{e.Target("tcp", oldPort)}, Flows: establishedFlows, Rate: newRate}
	i.newJob = load.Job{
		Kind: load.CRR, Targets: []netip.AddrPort{e.Target("tcp", newPort)}, Flows: newFlows, Rate: newRate, Timeout: patience,
	}
	return nil
}

// Slice implements plan.Instance: connections are established, the flood fills what
// it can fill at once and goes on, and new clients come.
func (i *siege) Slice(ctx context.Context, d time.Duration) (plan.Sample, error) {
	if err := i.world.Forget(); err != nil {
		return plan.Sample{}, err
	}
	old := i.oldJob
	old.Duration = d
	begin := time.Now()
	established := start(func() (load.Result, error) { return i.old.Run(ctx, old) })
	if err := pause(ctx, settle); err != nil {
		return plan.Sample{}, errors.Join(err, established.drop())
	}
	if err := i.attack.fill(ctx, d/2); err != nil {
		return plan.Sample{}, errors.Join(err, established.drop())
	}
	stop := i.attack.begin(ctx)
	job := i.newJob
	job.Duration = max(d-time.Since(begin)-settle, settle)
	arrived, err := i.new.Run(ctx, job)
	rate, floodErr := stop()
	kept, oldErr := established.wait()
	if err := errors.Join(err, floodErr, oldErr); err != nil {
		return plan.Sample{}, err
	}
	return i.sample(kept, arrived, rate)
}

func (i *siege) sample(kept, arrived load.Result, rate float64) (plan.Sample, error) {
	tried := arrived.Transactions + arrived.Failed()
	if tried == 0 || kept.Transactions == 0 {
		return plan.Sample{}, fmt.Errorf("no client came: %d new, %d old transactions", tried, kept.Transactions)
	}
	i.answered += kept.Transactions + arrived.Transactions
	served := float64(arrived.Transactions) / float64(tried)
	return plan.Sample{Values: []float64{served, float64(kept.Failed()), kept.Rate(), rate}, Ops: tried}, nil
}

// Prove implements plan.Instance: served clients went the arm's way, and the flood
// came to the host's door. Its queue may overflow, as one of a real device would.
func (i *siege) Prove(ctx context.Context) (plan.Proof, error) {
	received, dropped, err := i.world.UplinkReceived()
	if err != nil {
		return plan.Proof{}, err
	}
	came := fmt.Sprintf("%d %s were sent, %d packets came to the uplink, which had no room for %d",
		i.attack.sent, i.attack.kind.name(), received+dropped-i.came, dropped)
	if received+dropped-i.came < i.attack.sent {
		return plan.Proof{}, wrongWay("%s", came)
	}
	if i.attack.kind == udpFlood {
		served, err := i.server.Counts(ctx)
		if err != nil {
			return plan.Proof{}, err
		}
		came += fmt.Sprintf("; %d of them were answered", served.Responses-i.answered)
	}
	proof, err := i.world.Prove(ctx, i.before, world.Traffic{Walk: plan.LANToPublished, Packets: 2 * i.answered, ToServer: i.answered})
	proof.Text += "; " + came
	return proof, err
}

// Close implements plan.Instance.
func (i *siege) Close() error { return errors.Join(i.leave(), i.world.Close()) }

// leave ends what enter started, as far as there is any.
func (i *siege) leave() error {
	var errs []error
	if i.attack != nil {
		errs = append(errs, i.attack.generator.Close())
	}
	for _, s := range []*load.Side{i.old, i.new, i.server} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}
