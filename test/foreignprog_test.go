// SPDX-License-Identifier: Apache-2.0

package test

import (
	"net"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/fairway-project/fairway/test/harness"
)

// countingProgram counts its packets in an array of one and passes them on.
type countingProgram struct {
	counter *ebpf.Map
	program *ebpf.Program
}

func newCountingProgram(t *testing.T, kind ebpf.ProgramType, verdict int32) *countingProgram {
	t.Helper()
	counter, err := ebpf.NewMap(&ebpf.MapSpec{Name: "foreign", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { counter.Close() })
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "foreign", Type: kind, License: "GPL",
		Instructions: asm.Instructions{
			asm.StoreImm(asm.RFP, -4, 0, asm.Word),
			asm.LoadMapPtr(asm.R1, counter.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "out"),
			asm.Mov.Imm(asm.R1, 1),
			asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
			asm.Mov.Imm(asm.R0, verdict).WithSymbol("out"),
			asm.Return(),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return &countingProgram{counter, program}
}

func (p *countingProgram) count(t *testing.T) (n uint64) {
	t.Helper()
	if err := p.counter.Lookup(uint32(0), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Programs that others attached to the uplink, by tcx and by XDP, see the
// packets before, during and after Fairway's time, and Fairway works beside them.
func TestForeignPrograms(t *testing.T) {
	const tcxNext, xdpPass = -1, 2
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		first := newCountingProgram(t, ebpf.SchedCLS, tcxNext)
		xdp := newCountingProgram(t, ebpf.XDP, xdpPass)
		late := newCountingProgram(t, ebpf.SchedCLS, tcxNext)
		var links []link.Link
		attach := func(l link.Link, err error) error {
			if err == nil {
				links = append(links, l)
			}
			return err
		}
		defer func() {
			for _, l := range links {
				l.Close()
			}
		}()
		onUplink := func(fn func(index int) error) {
			t.Helper()
			if err := e.Host.Do(func() error {
				dev, err := net.InterfaceByName("eth0")
				if err != nil {
					return err
				}
				return fn(dev.Index)
			}); err != nil {
				t.Fatal(err)
			}
		}
		onUplink(func(index int) error {
			return attach(link.AttachTCX(link.TCXOptions{Interface: index, Program: first.program, Attach: ebpf.AttachTCXIngress}))
		})
		onUplink(func(index int) error {
			return attach(link.AttachXDP(link.XDPOptions{Interface: index, Program: xdp.program, Flags: link.XDPGenericMode}))
		})
		e.Daemon.Start(t)
		onUplink(func(index int) error {
			return attach(link.AttachTCX(link.TCXOptions{Interface: index, Program: late.program, Attach: ebpf.AttachTCXEgress, Anchor: link.Head()}))
		})
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		sees := func(when string) {
			t.Helper()
			before := []uint64{first.count(t), xdp.count(t)}
			e.EachFamily(t, func(t *testing.T, f harness.Family) {
				harness.Reaches(t, e.LAN1, f.Host, 8080, "c1")
				harness.Reaches(t, c1.Netns, f.WAN, 80, "wan")
			})
			for i, p := range []*countingProgram{first, xdp} {
				if got := p.count(t) - before[i]; got < 8 {
					t.Errorf("%s: foreign program %d saw %d packets", when, i, got)
				}
			}
		}
		sees("with a daemon")
		e.Daemon.Kill(t)
		sees("daemon dead")
		e.Daemon.Start(t)
		sees("daemon back")
		if r := e.Daemon.Uninstall(t); r.Code != 0 {
			t.Fatalf("uninstall: %s", r.Err)
		}
		for i, p := range []*countingProgram{first, xdp, late} {
			before := p.count(t)
			if err := harness.Ping(e.LAN1, harness.HostIP4); err != nil {
				t.Error(err)
			}
			if p.count(t) == before {
				t.Errorf("foreign program %d is gone after uninstall", i)
			}
		}
	}, harness.NoDaemon())
}
