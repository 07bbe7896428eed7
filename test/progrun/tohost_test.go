// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"testing"

	"github.com/fairway-project/fairway/test/progrun/rig"
)

// toHostCases: from a container to the host itself. The stack delivers.
func toHostCases(f family) []testCase {
	gateway := f.sends(f.Web, f.Net1.Gateway(f.v6))
	host := f.sends(f.Web, f.host())
	internal := func(t *testing.T, h *rig.Host) { h.PutNetwork(t, f.Net1, rig.Default|rig.Internal) }
	return []testCase{
		{name: "gateway", steps: []step{
			fromContainer(f.Web, gateway.Echo(1), passed(), nil),
			fromContainer(f.Web, gateway.TCP(1, 22, "S"), passed(), nil),
			fromContainer(f.Web, gateway.UDP(1, 53), passed(), nil),
			fromContainer(f.Web, raw(gateway.UDP(1, 53).Payload(2000).Fragments(1480)[1]), passedParked(), nil),
			// It is known whose it is when the first one was the host's.
			fromContainer(f.Web, raw(gateway.UDP(1, 53).Payload(2000).Fragments(1480)[0]), passed(), nil),
			fromContainer(f.Web, raw(gateway.UDP(1, 53).Payload(2000).Fragments(1480)[1]), passed(), nil),
		}},
		{name: "uplink's address", steps: []step{
			fromContainer(f.Web, host.Echo(1), passed(), nil),
			fromContainer(f.Web, host.TCP(1, 22, "S"), passed(), nil),
		}},
		{name: "link-local and multicast by the gateway's MAC", steps: []step{
			fromContainer(f.Web, f.sends(f.Web, f.pick("224.0.0.1", "fe80::1")).UDP(1, 2), passed(), nil),
		}},
		{name: "internal", world: internal, steps: []step{
			fromContainer(f.Web, gateway.Echo(1), passed(), nil),
			fromContainer(f.Web, host.Echo(1), dropped(internalReason), nil),
		}},
	}
}
