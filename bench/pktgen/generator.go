// SPDX-License-Identifier: Apache-2.0

package pktgen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
)

// chunk is how many packets one system call makes: long enough that its set-up
// doesn't show, short enough that a run can be interrupted.
const chunk = 32768

// Generator makes the packets of one Config. It is to be closed.
type Generator struct {
	cfg     Config
	frame   []byte
	program *ebpf.Program
	objects generatorObjects
	ns      *netns.NS
	made    uint64
}

// Sent is what a run made: packets, and how long that took with everything that
// happened to them in the same system calls. CPU is the time of the thread alone,
// without what others took of its CPU; where the kernel accounts for softirqs
// apart (CONFIG_IRQ_TIME_ACCOUNTING), it lacks the path.
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

// Run makes at least count packets: more if a signal makes a system call begin
// again. An end of ctx is no error, the packets made until then count.
func (g *Generator) Run(ctx context.Context, count uint64) (Sent, error) {
	return g.run(ctx, func(made uint64, _ time.Duration) uint64 {
		return count - min(made, count)
	})
}

// RunFor makes packets until about d is over.
func (g *Generator) RunFor(ctx context.Context, d time.Duration) (Sent, error) {
	return g.run(ctx, func(made uint64, took time.Duration) uint64 {
		switch {
		case took >= d:
			return 0
		case made == 0:
			return chunk / 16
		}
		left := float64(d-took) / float64(took) * float64(made)
		return max(uint64(left), 64)
	})
}

// RunAtMost makes packets until about d is over, or there are count of them.
func (g *Generator) RunAtMost(ctx context.Context, count uint64, d time.Duration) (Sent, error) {
	return g.run(ctx, func(made uint64, took time.Duration) uint64 {
		if made >= count || took >= d {
			return 0
		}
		return min(count-made, chunk/16)
	})
}

// run makes as many packets at a time as more says, until it says none.
func (g *Generator) run(ctx context.Context, more func(made uint64, took time.Duration) uint64) (s Sent, err error) {
	err = g.ns.Do(func() error {
		return pinned(g.cfg.CPU, func() error {
			begin, cpu := time.Now(), threadTime()
			for n := more(0, 0); n > 0 && ctx.Err() == nil; n = more(s.Packets, s.Elapsed) {
				made, err := g.make(uint32(min(n, chunk)))
				s.Packets, s.Elapsed, s.CPU = s.Packets+made, time.Since(begin), threadTime()-cpu
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	return s, err
}

// make returns how many packets one call made.
func (g *Generator) make(count uint32) (uint64, error) {
	_, runErr := g.program.Run(&ebpf.RunOptions{Data: g.frame, Repeat: count, Flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES})
	var now uint64
	if err := g.objects.Sent.Get(&now); err != nil {
		return 0, err
	}
	made := now - g.made
	g.made = now
	if runErr == nil && made < uint64(count) {
		runErr = fmt.Errorf("made %d of %d packets", made, count)
	}
	return made, runErr
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
