// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"fmt"
	"testing"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

const answerRate = object.DatapathDropReasonDROP_ANSWER_RATE

// answersEach is how many errors a sender gets within a second, answersOutside all outside.
const answersEach, answersOutside = 250, 1000

// What is answered with ICMP errors is answered so often: a container, or a machine outside, that
// floods a service without backends gets no more, and keeps none from other containers. Those
// outside, who may claim any address, have a bound together. Paths are always told to be narrow.
func TestAnswerRates(t *testing.T) {
	h := rig.New(t, rig.Options{Constants: map[string]any{object.DatapathVarTouchJiffies: uint32(longSecond)}})
	for name, f := range families() {
		t.Run(name, func(t *testing.T) {
			h.Restore(t)
			t.Cleanup(func() { unanswered(t, h) })
			serves(f, protoTCP, service.Settings{})(t, h)
			syn := f.sends(f.App, f.vip()).TCP(45000, 8080, "S")
			told := refusedInside(f, syn)[0]
			for range answersEach {
				if !runStep(t, h, 0, told) {
					return
				}
			}
			big := f.sends(f.App, f.narrow()).UDP(40000, 53).DontFragment().Payload(1401)
			fromGateway := frame.Between(f.Net1.MAC, f.App.MAC).IP(f.Net1.Gateway(f.v6), f.addr(f.App)).ID(0)
			other := f.sends(f.Web, f.vip()).TCP(45000, 8080, "S")
			otherBack := frame.Between(f.Net1.MAC, f.Web.MAC).IP(f.Net1.Gateway(f.v6), f.addr(f.Web)).ID(0).TTL(64)
			for i, s := range []step{
				fromContainer(f.App, syn, dropped(answerRate), nil),
				fromContainer(f.App, f.sends(f.App, f.far()).TTL(1).UDP(1, 2), dropped(answerRate), nil),
				fromContainer(f.App, big, delivered(f.App), tooBig(f, fromGateway, big, 1400, quoteMax)),
				fromContainer(f.Web, other, telling(delivered(f.Web), noBackend), unreachable(f, otherBack, other, quoteMax)),
			} {
				runStep(t, h, 1+i, s)
			}
			answersOutsideRates(t, h, f)
			runStep(t, h, 5, fromContainer(f.Web, other, telling(delivered(f.Web), noBackend), unreachable(f, otherBack, other, quoteMax)))
		})
	}
}

// answersOutsideRates counts what one machine outside is told, and then what all others are.
func answersOutsideRates(t *testing.T, h *rig.Host, f family) {
	t.Helper()
	tell := func(from string) bool {
		in := f.arrives(f.pick(from, from), f.host()).TCP(50000, 8080, "S")
		return h.Run(t, rig.Run{Program: rig.FromUplink, Device: f.Eth0.Device, Frame: in.Bytes()}).Action == rig.Redirect
	}
	address := func(n int) string {
		if f.v6 {
			return fmt.Sprintf("2001:db8:%x::1", 0x100+n)
		}
		return fmt.Sprintf("203.0.%d.%d", n>>8, n&0xff)
	}
	one := 0
	for range answersEach + 50 {
		if tell(address(0)) {
			one++
		}
	}
	if one != answersEach {
		t.Errorf("one machine outside was told %d times, want %d", one, answersEach)
	}
	all := one
	for n := range 40 {
		for range 50 {
			if tell(address(1 + n)) {
				all++
			}
		}
	}
	if all != answersOutside {
		t.Errorf("all outside were told %d times, want %d", all, answersOutside)
	}
}

// unanswered makes nobody count as answered, for whoever has the host next.
func unanswered(t *testing.T, h *rig.Host) {
	t.Helper()
	for i := range h.AnswerRates.MaxEntries() {
		check(t, h.AnswerRates.Put(i, &object.DatapathRate{}))
	}
}
