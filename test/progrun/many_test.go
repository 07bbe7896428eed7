// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"net/netip"

	"github.com/fairway-project/fairway/test/progrun/frame"
	"github.com/fairway-project/fairway/userspace/model"
)

// manyCases: frames to many from outside. The host's stack takes them whatever address
// they are for, so whom they claim to be from counts as for any other.
func manyCases(f family) []testCase {
	multi := flagOf(f, model.MAC{1, 0, 0x5e, 0, 0, 0xfb}, model.MAC{0x33, 0x33, 0, 0, 0, 0xfb})
	group := f.pick("224.0.0.251", "ff02::fb")
	var cases []testCase
	for name, to := range map[string]model.MAC{"broadcast": broadcast, "multicast": multi} {
		in := func(src, dst netip.Addr) frame.Frame {
			return frame.Between(f.RouterMAC, to).IP(src, dst).UDP(5353, 5353)
		}
		var spoofed, tags []step
		for _, dst := range []netip.Addr{group, f.host(), f.Net1.Gateway(f.v6), f.addr(f.Web), f.pick("255.255.255.255", "ff02::1")} {
			for _, src := range []netip.Addr{f.addr(f.Web), f.addr(f.DB), f.Net1.Gateway(f.v6)} {
				spoofed = append(spoofed, fromUplink(f.Eth0, in(src, dst), dropped(spoofedAddress), nil))
			}
		}
		for _, t := range [][]uint16{{0}, {0, 0xe000}} {
			tags = append(tags, tagged(fromUplink(f.Eth0, in(f.addr(f.Web), group), dropped(spoofedAddress), nil), t...))
		}
		cases = append(cases,
			testCase{name: name + " honest", steps: []step{
				fromUplink(f.Eth0, in(f.client(), group), passed(), nil),
				fromUplink(f.Eth0, in(f.client(), f.host()), passed(), nil),
				fromUplink(f.Eth0, in(f.pick("0.0.0.0", "::"), f.pick("255.255.255.255", "ff02::1")), passed(), nil),
				fromUplink(f.Eth0, in(f.pick("169.254.7.7", "fe80::7"), group), passed(), nil),
			}},
			testCase{name: name + " with a container's source", steps: spoofed},
			testCase{name: name + " with a container's source, tagged", steps: tags},
			testCase{name: name + " fragments", steps: []step{
				fromUplink(f.Eth0, raw(in(f.addr(f.Web), f.host()).Payload(2000).Fragments(pieceSize)[0]), dropped(spoofedAddress), nil),
				fromUplink(f.Eth0, raw(in(f.addr(f.Web), f.host()).Payload(2000).Fragments(pieceSize)[1]), dropped(spoofedAddress), nil),
			}},
			testCase{name: name + " martian", steps: []step{
				fromUplink(f.Eth0, in(f.pick("127.0.0.1", "::1"), group), dropped(martian), nil),
				fromUplink(f.Eth0, in(f.client(), f.pick("127.0.0.1", "::1")), dropped(martian), nil),
				fromUplink(f.Eth0, in(group, group), dropped(martian), nil),
			}})
	}
	return append(cases, unreadableCase(f))
}

// What the parser gives up on the stack may still understand.
func unreadableCase(f family) testCase {
	in := f.arrives(f.addr(f.Web), f.host()).UDP(1, 2)
	steps := []step{fromUplink(f.Eth0, raw(in.Bytes()[:14+flagOf(f, 20, 40)+4]), dropped(spoofedAddress), nil)}
	if f.v6 {
		steps = append(steps,
			fromUplink(f.Eth0, in.Extensions(60, 60, 60, 60, 60, 60, 60), dropped(spoofedAddress), nil),
			fromUplink(f.Eth0, in.From(f.client(), 1).Extensions(60, 60, 60, 60, 60, 60, 60), passed(), nil),
			// An IPv4 address in IPv6's clothes.
			fromUplink(f.Eth0, in.From(netip.AddrFrom16(f.Web.IPv4.As16()), 1), dropped(spoofedAddress), nil))
	}
	return testCase{name: "unreadable, with a container's source", steps: steps}
}
