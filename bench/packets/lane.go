// SPDX-License-Identifier: Apache-2.0

package packets

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/bench/pktgen"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
)

// way is one direction: who makes packets, and who counts them.
type way struct {
	generator *pktgen.Generator
	sink      *pktgen.Sink
	sent      uint64
}

// lane carries the packets of one case through a world, in both directions.
type lane struct {
	world  *world.World
	walk   plan.Walk
	tuples tuples
	there  way
	back   way
	// softirqd is the one of the CPU.
	softirqd softirqd
	used     time.Time
	// opening is how many packets there were whose connection had no answer yet.
	opening uint64
	// begun is how many connections the last call of fresh began.
	begun uint64
}

// forgotten is how long connections may be idle before a lane opens them again:
// less than any arm keeps UDP that was answered.
const forgotten = 20 * time.Second

// newLane loads generators and sinks; no packet is sent.
func newLane(w *world.World, env plan.Env, c plan.Case) (_ *lane, err error) {
	ends, err := w.Ends(c.Walk, c.Family)
	if err != nil {
		return nil, err
	}
	l := &lane{world: w, walk: c.Walk}
	if l.softirqd, err = findSoftirqd(env.Proc, env.CPU); err != nil {
		return nil, err
	}
	if l.tuples, err = newTuples(c.Walk, c.Family, ends, c.Flows); err != nil {
		return nil, err
	}
	there := pktgen.Want{Src: ends.Seen, Dst: ends.Server.Addr, DstPort: servicePort}
	back := pktgen.Want{Src: ends.To, Dst: ends.Client.Addr}
	if l.tuples.there.SrcAddrs > 1 {
		there.Src, back.Dst = netip.Addr{}, netip.Addr{}
	}
	if l.tuples.there.DstAddrs > 1 {
		there.Dst, back.Src = netip.Addr{}, netip.Addr{}
	}
	if !l.tuples.one {
		there.DstPort = 0
	}
	if l.there, err = newWay(ends.Client, ends.Server, l.tuples.there, there, env.CPU); err == nil {
		l.back, err = newWay(ends.Server, ends.Client, l.tuples.back, back, env.CPU)
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

func newWay(from, to world.End, f pktgen.Flows, want pktgen.Want, cpu int) (w way, err error) {
	want.Mark = rand.Uint64()
	w.generator, err = pktgen.New(pktgen.Config{
		Netns: from.Netns, Device: from.Device, SrcMAC: from.MAC, DstMAC: from.NextHop, Flows: f, Mark: want.Mark, CPU: &cpu,
	})
	if err == nil {
		w.sink, err = pktgen.AtDevice(to.Netns, to.Device, want)
	}
	if err != nil {
		return way{}, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *way) close() error {
	var errs []error
	if w.generator != nil {
		errs = append(errs, w.generator.Close())
	}
	if w.sink != nil {
		errs = append(errs, w.sink.Close())
	}
	*w = way{}
	return errors.Join(errs...)
}

func (l *lane) close() error { return errors.Join(l.there.close(), l.back.close()) }

// wait returns when all that was sent has arrived, unchanged; what is lost is an
// error that wraps plan.ErrWrongWay.
func (l *lane) wait(ctx context.Context, w *way, sent pktgen.Sent) error {
	w.sent += sent.Packets
	if err := w.sink.Wait(ctx, w.sent); err != nil {
		if ctx.Err() != nil {
			return err
		}
		where := "there"
		if w == &l.back {
			where = "back"
		}
		return fmt.Errorf("%w: on the way %s: %w; %s", plan.ErrWrongWay, where, err, l.world.Drops(ctx))
	}
	return nil
}

// each sends one packet of every connection.
func (l *lane) each(ctx context.Context, w *way) error {
	sent, err := w.generator.Run(ctx, w.generator.Flows())
	if err != nil {
		return err
	}
	return l.wait(ctx, w, sent)
}

// open makes all connections established, packet by packet looked at: one there,
// one back, one there.
func (l *lane) open(ctx context.Context) error {
	l.opening += l.there.generator.Flows()
	err := errors.Join(l.there.sink.Verify(true), l.back.sink.Verify(true), l.greet(ctx))
	if err == nil {
		err = l.each(ctx, &l.there)
	}
	l.used = time.Now()
	return errors.Join(err, l.there.sink.Verify(false), l.back.sink.Verify(false))
}

// greet sends a packet of every connection there and its answer back, of some
// connections at a time: no arm waits for an answer forever.
func (l *lane) greet(ctx context.Context) error {
	atATime := l.there.generator.Flows()
	if l.tuples.inStep {
		atATime = min(atATime, 32768)
	}
	if err := errors.Join(l.there.generator.Rewind(), l.back.generator.Rewind()); err != nil {
		return err
	}
	for left := l.there.generator.Flows(); left > 0; {
		n := min(left, atATime)
		for _, w := range []*way{&l.there, &l.back} {
			sent, err := w.generator.Run(ctx, n)
			if err == nil {
				err = l.wait(ctx, w, sent)
			}
			if err == nil {
				err = context.Cause(ctx)
			}
			if err != nil {
				return err
			}
		}
		left -= n
	}
	return nil
}

// reopen does so if the arm may have forgotten them.
func (l *lane) reopen(ctx context.Context) error {
	if time.Since(l.used) < forgotten {
		return nil
	}
	return l.open(ctx)
}

// measured is what some packets of a lane took.
type measured struct {
	packets      uint64
	elapsed, cpu time.Duration
}

// run sends the client's packets for about d and counts them.
func (l *lane) run(ctx context.Context, d time.Duration) (measured, error) {
	return l.send(ctx, func() (pktgen.Sent, error) { return l.there.generator.RunFor(ctx, d) })
}

// fresh does so with packets that each begin a connection, after all were
// forgotten: until all there are have begun, if d is longer.
func (l *lane) fresh(ctx context.Context, d time.Duration) (measured, error) {
	m, err := l.send(ctx, func() (pktgen.Sent, error) {
		return l.there.generator.RunAtMost(ctx, l.there.generator.Flows(), d)
	})
	l.begun = m.packets
	return m, err
}

// send measures the CPU time of who makes the packets and of ksoftirqd, to which
// the kernel may leave a part of their path.
func (l *lane) send(ctx context.Context, run func() (pktgen.Sent, error)) (measured, error) {
	before, err := l.softirqd.time()
	if err != nil {
		return measured{}, err
	}
	sent, err := run()
	if err != nil {
		return measured{}, err
	}
	if err := l.wait(ctx, &l.there, sent); err != nil {
		return measured{}, err
	}
	l.used = time.Now()
	after, err := l.softirqd.time()
	m := measured{packets: sent.Packets, elapsed: sent.Elapsed, cpu: sent.CPU + after - before}
	if chargesSoftirqsApart() {
		m.cpu = m.elapsed
	}
	return m, err
}

// traffic is what must have crossed the world by now.
func (l *lane) traffic() world.Traffic {
	return world.Traffic{
		Walk: l.walk, Packets: l.there.sent + l.back.sent, ToServer: l.there.sent,
		Flows: l.there.generator.Flows(), UDP: true, Opening: l.opening,
	}
}

func (m measured) nsPerPacket() float64 { return float64(m.cpu.Nanoseconds()) / float64(m.packets) }

func (m measured) perSecond() float64 { return float64(m.packets) / m.elapsed.Seconds() }
