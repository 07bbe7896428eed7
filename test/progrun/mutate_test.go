// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// Broken packets: all packets of the tables, cut short, with bits flipped, with
// and without checksums that fit, through the programs they are for.
func TestMutatedPackets(t *testing.T) {
	mutatedPackets(t, 20_000)
}

// mutatedPackets runs the programs on so many.
func mutatedPackets(t *testing.T, runs int) {
	t.Helper()
	const round = 5000
	seeds := seedRuns()
	source := rand.New(rand.NewPCG(1, 2))
	h := rig.New(t, rig.Options{})
	for done := 0; done < runs; done += round {
		h.Restore(t)
		for _, f := range families() {
			publishAny(f, protoTCP)(t, h)
			publishAny(f, protoUDP)(t, h)
			publishAny(f, protoSCTP)(t, h)
			h.Publish(t, rig.Any(f.v6), 53, protoUDP, f.DB, 5353)
		}
		accepted, err := mutations(h, source, seeds, round)
		if err != nil {
			t.Fatalf("after %d runs: %v", done, err)
		}
		requireSums(t, h, accepted)
		checkPairs(t, h)
	}
}

// seedRuns are the tables' packets.
func seedRuns() []rig.Run {
	var seeds []rig.Run
	for _, table := range tables() {
		for _, name := range []string{"ipv4", "ipv6"} {
			for _, c := range table.cases(families()[name]) {
				for _, s := range c.steps {
					r := s.run
					r.Frame, r.Segments, r.SegmentSize = s.in.Bytes(), 0, 0
					seeds = append(seeds, r)
				}
			}
		}
	}
	return seeds
}

// mutations runs n packets and returns how many the kernel took: test runs refuse
// frames too short for what their type says.
func mutations(h *rig.Host, source *rand.Rand, seeds []rig.Run, n int) (accepted uint64, err error) {
	h.Do(func() {
		for range n {
			r := seeds[source.IntN(len(seeds))]
			r.Frame = mutate(source, r.Frame)
			got, runErr := h.RunHere(r)
			if errors.Is(runErr, syscall.EINVAL) {
				continue
			}
			accepted++
			if err = errors.Join(runErr, judgeMutant(h.World, r, got)); err != nil {
				err = fmt.Errorf("%w\n%v on %s\nin %x\nout %d %x", err, r.Program, r.Device, r.Frame, got.Action, got.Frame)
				return
			}
		}
	})
	return accepted, err
}

func mutate(source *rand.Rand, seed []byte) []byte {
	b := bytes.Clone(seed)
	if source.IntN(4) == 0 {
		b = b[:14+source.IntN(min(200, len(b)-13))]
	}
	if source.IntN(8) == 0 {
		b = append(b, make([]byte, source.IntN(64))...)
	}
	for range source.IntN(4) {
		b[source.IntN(len(b))] ^= 1 << source.IntN(8)
	}
	// What is interesting is in the headers.
	for range source.IntN(3) {
		b[min(len(b)-1, 12+source.IntN(60))] = byte(source.Uint32())
	}
	if source.IntN(2) == 0 {
		frame.Fix(b)
	}
	return b
}

// judgeMutant checks what holds for any packet.
func judgeMutant(w rig.World, r rig.Run, got rig.Result) error {
	switch got.Action {
	case rig.Drop:
		return nil
	case rig.Next:
		if r.Program != rig.ToUplink && !bytes.Equal(got.Frame, r.Frame) {
			return errors.New("passed and changed")
		}
	case rig.Redirect:
		if r.Program == rig.ToContainer || r.Program == rig.ToUplink {
			return errors.New("redirected on egress")
		}
	default:
		return fmt.Errorf("action %d", got.Action)
	}
	if frame.Check(r.Frame) == nil {
		if err := frame.Check(got.Frame); err != nil {
			return fmt.Errorf("in was valid: %w", err)
		}
	}
	if leaves(w, r, got) && isPrivate(w, sourceOf(got.Frame)) {
		return errors.New("a container's address leaves")
	}
	return nil
}

// leaves tells whether the packet goes out of an uplink. Redirected into a
// container it has the container's MAC; the host may use a gateway's address.
func leaves(w rig.World, r rig.Run, got rig.Result) bool {
	switch r.Program {
	case rig.FromContainer:
		dst := [6]byte(got.Frame)
		return got.Action == rig.Redirect && (dst == w.Net1.MAC || dst == w.Net2.MAC)
	case rig.ToUplink:
		src := sourceOf(got.Frame)
		host := r.Ingress == "" && (src == w.Net1.Gateway(src.Is6()) || src == w.Net2.Gateway(src.Is6()))
		return got.Action == rig.Next && !host
	}
	return false
}

// sourceOf reads what lies where the source address would.
func sourceOf(b []byte) netip.Addr {
	switch binary.BigEndian.Uint16(b[12:]) {
	case 0x0800:
		return netip.AddrFrom4([4]byte(b[26:30]))
	case 0x86dd:
		return netip.AddrFrom16([16]byte(b[22:38]))
	}
	return netip.Addr{}
}

func isPrivate(w rig.World, a netip.Addr) bool {
	for _, n := range []rig.Network{w.Net1, w.Net2} {
		if n.Subnet4.Contains(a) || n.Subnet6.Contains(a) {
			return true
		}
	}
	return false
}

// requireSums: every run has one verdict, every drop one reason, but for fragments that
// wait, or came again.
func requireSums(t *testing.T, h *rig.Host, runs uint64) {
	t.Helper()
	var verdicts, drops uint64
	c := readCounters(t, h)
	for _, p := range []rig.Program{rig.FromContainer, rig.ToContainer, rig.FromUplink, rig.ToUplink} {
		drops += c[verdictName(p, rig.Drop)]
		verdicts += c[verdictName(p, rig.Drop)] + c[verdictName(p, rig.Next)] + c[verdictName(p, rig.Redirect)]
	}
	if verdicts != runs {
		t.Errorf("%d verdicts of %d runs", verdicts, runs)
	}
	counts, err := h.Dropped.Counts()
	check(t, err)
	for _, d := range counts {
		drops -= d.Packets
	}
	parked := c[parkedName(object.DatapathDirectionDIR_RECEIVE)] + c[parkedName(object.DatapathDirectionDIR_TRANSMIT)]
	if drops > parked {
		t.Errorf("%d drops without a reason, and %d fragments were parked", int64(drops), parked)
	}
}
