// SPDX-License-Identifier: Apache-2.0

package pktgen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
)

// How many packets one system call makes: so few to begin with, and at most so many
// that a run can be interrupted.
const sample, chunk = 4096, 1 << 20

// Generator makes the packets of one Config. It is to be closed.
type Generator struct {
	cfg     Config
	frame   []byte
	program *ebpf.Program
	objects generatorObjects
	ns      *netns.NS
	made    uint64
	each    time.Duration
}

// Sent is what a run made: packets, and how long that took with everything that
// happened to them in the same system calls, as the kernel measures it. CPU is the
// time of the thread, with the system calls and without what others took of its CPU;
// where the kernel accounts for softirqs apart (CONFIG_IRQ_TIME_ACCOUNTING), it
// lacks the path.
type Sent struct {
	Packets      uint64
	Elapsed, CPU time.Duration
}

// New loads a generator. The namespace and the device have to exist.
func New(cfg Config) (_ *Generator, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	g := &Generator{cfg: cfg}
	if g.ns, err = netns.Open(cfg.Netns); err != nil {
		return nil, err
	}
	if err = g.load(); err != nil {
		_ = g.ns.Close()
		return nil, fmt.Errorf("generator at %s: %w", cfg.Device, err)
	}
	return g, nil
}

func (g *Generator) load() error {
	index, err := deviceIndex(g.ns, g.cfg.Device)
	if err != nil {
		return err
	}
	spec, err := loadGenerator()
	if err != nil {
		return err
	}
	t := newTemplate(&g.cfg)
	f := &g.cfg.Flows
	g.frame = t.frame
	var template [82]byte
	copy(template[:], t.frame)
	vars := spec.Variables
	if err := errors.Join(
		vars["device"].Set(uint32(index)), vars["flows"].Set(uint32(f.Total())),
		vars["size"].Set(f.sizes()), vars["base"].Set(f.bases()), vars["at_random"].Set(f.Random),
		vars["ip_sum"].Set(t.ipSum), vars["l4_sum"].Set(t.payloadSum), vars["template"].Set(template),
	); err != nil {
		return err
	}
	if err := spec.LoadAndAssign(&g.objects, nil); err != nil {
		return err
	}
	g.program = g.choose()
	return nil
}

func (g *Generator) choose() *ebpf.Program {
	p, v4 := &g.objects.generatorPrograms, g.cfg.Flows.Src.Addr().Is4()
	switch {
	case g.cfg.Protocol == SYN && v4:
		return p.MakeSyn4
	case g.cfg.Protocol == SYN:
		return p.MakeSyn6
	case v4:
		return p.MakeUdp4
	default:
		return p.MakeUdp6
	}
}

// Close unloads the programs.
func (g *Generator) Close() error { return errors.Join(g.objects.Close(), g.ns.Close()) }

// Mark is what the packets carry.
func (g *Generator) Mark() uint64 { return g.cfg.Mark }

// Flows is how many different flows the packets are of.
func (g *Generator) Flows() uint64 { return g.cfg.Flows.Total() }

// Rewind makes the first flow the next one.
func (g *Generator) Rewind() error {
	return errors.Join(g.objects.Flow.Set(uint32(0)), g.objects.At.Set([4]uint32{}))
}

// Run makes count packets. An end of ctx is no error, the packets made until then
// count.
func (g *Generator) Run(ctx context.Context, count uint64) (Sent, error) {
	return g.RunAtMost(ctx, count, math.MaxInt64)
}

// RunFor makes packets until about d is over.
func (g *Generator) RunFor(ctx context.Context, d time.Duration) (Sent, error) {
	return g.RunAtMost(ctx, math.MaxUint64, d)
}

// RunAtMost makes packets until about d is over, or there are count of them, with as
// few system calls as possible: each costs as much as a thousand packets.
func (g *Generator) RunAtMost(ctx context.Context, count uint64, d time.Duration) (s Sent, err error) {
	err = g.ns.Do(func() error {
		return pinned(g.cfg.CPU, func() error {
			// A short call at the end would be mostly its own cost.
			for ctx.Err() == nil && s.Packets < count && s.Elapsed < d-d/10 {
				made, err := g.make(uint32(min(count-s.Packets, g.next(d-s.Elapsed))))
				s.add(made)
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	return s, err
}

func (s *Sent) add(more Sent) {
	s.Packets, s.Elapsed, s.CPU = s.Packets+more.Packets, s.Elapsed+more.Elapsed, s.CPU+more.CPU
}

// next is how many packets the next system call should make to take that long, by
// what the last one took for each.
func (g *Generator) next(left time.Duration) uint64 {
	if g.each == 0 {
		return sample
	}
	return max(sample, min(uint64(left/g.each), chunk))
}

// make has one system call make packets. A signal ends that before its time.
func (g *Generator) make(count uint32) (s Sent, err error) {
	begin, cpu := time.Now(), threadTime()
	each, err := runLive(g.program.FD(), g.frame, count)
	if errors.Is(err, unix.EINTR) {
		err = nil
	}
	var now uint64
	if err := g.objects.Sent.Get(&now); err != nil {
		return s, err
	}
	s.Packets, g.made = now-g.made, now
	s.Elapsed, s.CPU = each*time.Duration(s.Packets), threadTime()-cpu
	if each == 0 {
		s.Elapsed = time.Since(begin)
	}
	g.each = each
	return s, err
}

// threadTime is the CPU time of the calling thread; the clock is always there.
func threadTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return time.Duration(ts.Nano())
}

func deviceIndex(ns *netns.NS, name string) (index int, err error) {
	err = ns.Do(func() error {
		dev, err := net.InterfaceByName(name)
		if err != nil {
			return fmt.Errorf("device %s: %w", name, err)
		}
		index = dev.Index
		return nil
	})
	return index, err
}

// pinned runs f on a CPU; the caller's thread is f's alone.
func pinned(cpu *int, f func() error) error {
	if cpu == nil {
		return f()
	}
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("affinity: %w", err)
	}
	only.Set(*cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("run on CPU %d: %w", *cpu, err)
	}
	return errors.Join(f(), unix.SchedSetaffinity(0, &before))
}
