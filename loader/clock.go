// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"math"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/fairway-project/fairway/maps/object"
)

// Clock reads the kernel's jiffies, in which flows keep their times.
type Clock struct {
	prog *ebpf.Program
	hz   uint32
}

// NewClock finds out how long a jiffy is, which takes some 60 ms. The caller
// closes it.
func NewClock() (*Clock, error) {
	prog, err := ebpf.NewProgram(clockProgram())
	if err != nil {
		return nil, explain(fmt.Errorf("clock program: %w", err))
	}
	c := &Clock{prog: prog}
	if c.hz, err = c.measure(); err != nil {
		prog.Close()
		return nil, err
	}
	return c, nil
}

// HZ is the number of jiffies in a second.
func (c *Clock) HZ() uint32 { return c.hz }

// Jiffies returns the low 32 bits of the kernel's jiffies.
func (c *Clock) Jiffies() (uint32, error) {
	r, err := c.read()
	return r.Jiffies, err
}

// Close frees the program.
func (c *Clock) Close() error { return c.prog.Close() }

// clockProgram fills a struct collect_request with the time, as the collector's
// program does. It exists apart from it because programs are told the length of a
// second in jiffies before they are loaded.
func clockProgram() *ebpf.ProgramSpec {
	const jiffies, nanoseconds = 4, 8
	return &ebpf.ProgramSpec{
		Name: "clock", Type: ebpf.Syscall, License: "Dual BSD/GPL", Flags: 1 << 4, // BPF_F_SLEEPABLE
		Instructions: asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.FnJiffies64.Call(),
			asm.StoreMem(asm.R6, jiffies, asm.R0, asm.Word),
			asm.FnKtimeGetNs.Call(),
			asm.StoreMem(asm.R6, nanoseconds, asm.R0, asm.DWord),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		},
	}
}

func (c *Clock) read() (object.DatapathCollectRequest, error) {
	var r object.DatapathCollectRequest
	if _, err := c.prog.Run(&ebpf.RunOptions{Context: &r, ContextOut: &r}); err != nil {
		return r, fmt.Errorf("read jiffies: %w", err)
	}
	return r, nil
}

// measure times a number of whole jiffies, from one tick to another.
func (c *Clock) measure() (uint32, error) {
	const interval = 50 * time.Millisecond
	first, err := c.nextTick()
	if err != nil {
		return 0, err
	}
	time.Sleep(interval)
	last, err := c.nextTick()
	if err != nil {
		return 0, err
	}
	ticks := float64(last.Jiffies - first.Jiffies)
	seconds := float64(last.Nanoseconds-first.Nanoseconds) / float64(time.Second)
	return nearestHZ(ticks / seconds), nil
}

func (c *Clock) nextTick() (object.DatapathCollectRequest, error) {
	start, err := c.read()
	for now := start; err == nil; now, err = c.read() {
		if now.Jiffies != start.Jiffies {
			return now, nil
		}
	}
	return start, err
}

// nearestHZ returns the choice of kernel/Kconfig.hz that is nearest to what was
// measured, which on a busy machine is off by a few per cent.
func nearestHZ(measured float64) uint32 {
	best, distance := uint32(0), math.Inf(1)
	for _, hz := range []uint32{100, 250, 300, 1000} {
		if d := math.Abs(math.Log(measured / float64(hz))); d < distance {
			best, distance = hz, d
		}
	}
	return best
}
