// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"testing"

	"github.com/fairway-project/fairway/maps/publish"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// hairpinCases: from a container to a published port of the host, there and back.
// The target sees the gateway of its own network.
func hairpinCases(f family) []testCase {
	var cases []testCase
	for _, c := range []struct {
		name         string
		from, target rig.Endpoint
	}{
		{"other network", f.Web, f.DB},
		{"same network", f.App, f.Web},
		{"itself", f.Web, f.Web},
	} {
		publishIt := func(t *testing.T, h *rig.Host) {
			h.Publish(t, rig.Any(f.v6), 8080, protoTCP, c.target, 80)
			h.Publish(t, rig.Any(f.v6), 53, protoUDP, c.target, 5353)
		}
		cases = append(cases,
			testCase{name: c.name + " tcp", world: publishIt, flows: 1, steps: hairpin(f, c.from, c.target, 8080, 80, true)},
			testCase{name: c.name + " udp", world: publishIt, flows: 1, steps: hairpin(f, c.from, c.target, 53, 5353, false)})
	}
	return append(cases, hairpinRefused(f)...)
}

func hairpin(f family, from, target rig.Endpoint, port, targetPort uint16, tcp bool) []step {
	out := f.sends(from, f.host()).UDP(45000, port)
	if tcp {
		out = out.TCP(45000, port, "S")
	}
	gateway := f.network(target).Gateway(f.v6)
	inside := f.into(target, out.From(gateway, 45000).To(f.addr(target), targetPort))
	answer := inside.Reply()
	if tcp {
		answer = answer.Flags("SA")
	}
	back := f.into(from, answer.From(f.host(), port).To(f.addr(from), 45000))
	return []step{
		fromContainer(from, out, delivered(target), inside),
		fromContainer(target, answer, delivered(from), back),
	}
}

func hairpinRefused(f family) []testCase {
	out := f.sends(f.Web, f.host()).TCP(45000, 8080, "S")
	toDB := func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(f.v6), 8080, protoTCP, f.DB, 80) }
	return []testCase{
		{name: "middle of nothing is the stack's", world: toDB, steps: []step{fromContainer(f.Web, out.Flags("A"), passed(), nil)}},
		{
			name: "sctp to another port", steps: []step{fromContainer(f.Web, out.SCTP(1, 8080), dropped(unsupported), nil)},
			world: func(t *testing.T, h *rig.Host) { h.Publish(t, rig.Any(f.v6), 8080, protoSCTP, f.DB, 80) },
		},
		{
			name: "from an internal network", steps: []step{fromContainer(f.Web, out, dropped(internalReason), nil)},
			world: func(t *testing.T, h *rig.Host) { toDB(t, h); h.PutNetwork(t, f.Net1, rig.Default|rig.Internal) },
		},
		{
			name: "target gone", steps: []step{fromContainer(f.Web, out, dropped(endpointGone), nil)},
			world: func(t *testing.T, h *rig.Host) { toDB(t, h); h.Unready(t, f.DB) },
		},
		{
			name: "host only", steps: []step{fromContainer(f.Web, out, passed(), nil)},
			world: func(t *testing.T, h *rig.Host) {
				h.PublishEntry(t, publish.Key{Addr: rig.Any(f.v6), Port: 8080, Proto: protoTCP},
					publish.Entry{Endpoint: f.DB.Slot, Generation: rig.Generation, HostOnly: true})
			},
		},
	}
}
