// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"testing"

	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// headerCases: what may stand in headers and must survive translation.
func headerCases(f family) []testCase {
	out := f.sends(f.Web, f.far())
	in := f.arrives(f.client(), f.host()).TCP(50000, 8080, "S")
	cases := []testCase{
		{name: "traffic class", flows: 1, steps: roundTrip(f, out.UDP(1, 2).TOS(0xb9))},
		{name: "udp without checksum", flows: 1, steps: roundTrip(f, out.UDP(1, 2).NoChecksum())},
		{name: "udp sum of zero", flows: 1, steps: []step{zeroSum(f)}},
		{name: "don't fragment", flows: 1, steps: roundTrip(f, out.UDP(1, 2).DontFragment())},
		{name: "first fragment with its transport header in the padding", steps: []step{
			fromContainer(f.Web, firstInPadding(f, out.UDP(1, 2)), dropped(malformed), nil),
			fromContainer(f.Web, firstInPadding(f, out.TCP(1, 2, "S")), dropped(malformed), nil),
			fromUplink(f.Eth0, firstInPadding(f, in), passed(), nil),
		}},
		{name: "identification zero", flows: 1, steps: roundTrip(f, out.UDP(1, 2).ID(0))},
	}
	if f.v6 {
		exts := []byte{frame.HopByHop, frame.DestOptions, frame.DestOptions, frame.DestOptions, frame.DestOptions}
		return append(cases,
			testCase{name: "extensions", flows: 1, steps: roundTrip(f, out.TCP(1, 2, "S").Extensions(exts[:2]...))},
			testCase{name: "most extensions", flows: 1, steps: roundTrip(f, out.UDP(1, 2).Extensions(exts...))},
			testCase{name: "too many extensions", steps: []step{
				fromContainer(f.Web, out.UDP(1, 2).Extensions(append(exts, frame.DestOptions)...), dropped(unsupported), nil),
				fromUplink(f.Eth0, in.Extensions(append(exts, frame.DestOptions)...), passed(), nil),
			}},
			testCase{name: "extensions to a published port", flows: 1, world: publishAny(f, protoTCP), steps: visit(f, in.Extensions(exts[:3]...), f.Web, 80)},
			testCase{name: "no next header", flows: 1, steps: roundTrip(f, out.Proto(59).Payload(0))})
	}
	alert, longest := []byte{148, 4, 0, 0}, make([]byte, 40)
	copy(longest, []byte{7, 40, 4})
	return append(cases,
		testCase{name: "options", flows: 1, steps: roundTrip(f, out.TCP(1, 2, "S").Options(alert...))},
		testCase{name: "longest options", flows: 1, steps: roundTrip(f, out.UDP(1, 2).Options(longest...))},
		testCase{name: "options to a published port", flows: 1, world: publishAny(f, protoTCP), steps: visit(f, in.Options(alert...), f.Web, 80)})
}

// firstInPadding is a first fragment that ends before its transport header.
func firstInPadding(f family, whole frame.Frame) raw {
	const ip = 14
	if !f.v6 {
		b := whole.Bytes()
		b[ip+2], b[ip+3] = 0, 20 // total length
		b[ip+6] |= 0x20          // more fragments
		return b
	}
	const fragment, header = 44, 40
	b := whole.Extensions(fragment).Bytes()
	b[ip+4], b[ip+5] = 0, 8                 // payload length
	b[ip+header+2], b[ip+header+3] = 0, 0x1 // offset, more fragments
	return b
}

// zeroSum is a datagram whose checksum is zero after translation, which UDP has
// to write as 0xffff (RFC 768).
func zeroSum(f family) step {
	out := f.sends(f.Web, f.far()).UDP(5000, 53)
	for n := range 1 << 16 {
		wire := out.Content(byte(n>>8), byte(n)).From(f.host(), 5000).Hop()
		b := wire.Bytes()
		if at := len(b) - 4; b[at] == 0xff && b[at+1] == 0xff {
			return fromContainer(f.Web, out.Content(byte(n>>8), byte(n)), forwarded(), wire)
		}
	}
	panic("some payload has a checksum of zero")
}

// What comes in broken goes out as broken: translation mustn't make a wrong
// checksum right.
func TestTranslationKeepsWrongChecksumsWrong(t *testing.T) {
	h := rig.New(t, rig.Options{})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			in := f.sends(f.Web, f.far()).UDP(5000, 53).Bytes()
			in[len(in)-1] ^= 0x40
			got := h.Run(t, rig.Run{Program: rig.FromContainer, Device: "web", Frame: in})
			if got.Action != rig.Redirect || frame.Check(got.Frame) == nil {
				t.Errorf("action %d, checksum %v", got.Action, frame.Check(got.Frame))
			}
		})
	}
}
