// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strconv"

	"github.com/fairway-project/fairway/userspace/conntrack"
	"github.com/fairway-project/fairway/userspace/model"
)

// connections lists those of the thread's network namespace that match.
func connections(match func(*conntrack.Connection) bool) ([]conntrack.Connection, error) {
	table, err := conntrack.Open()
	if err != nil {
		return nil, err
	}
	defer table.Close()
	return table.List(match)
}

// purgeWhere removes the connections that match.
func purgeWhere(match func(*conntrack.Connection) bool) error {
	table, err := conntrack.Open()
	if err != nil {
		return err
	}
	defer table.Close()
	list, err := table.List(match)
	errs := []error{err}
	for i := range list {
		errs = append(errs, table.Remove(&list[i]))
	}
	return errors.Join(errs...)
}

// familyOf is that of the connection's addresses.
func familyOf(c *conntrack.Connection) Family {
	if c.Is6() {
		return IPv6
	}
	return IPv4
}

// purgeAddresses ends all connections of these addresses.
func purgeAddresses(addrs ...netip.Addr) error {
	addrs = slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return !a.IsValid() })
	if len(addrs) == 0 {
		return nil
	}
	return purgeWhere(func(c *conntrack.Connection) bool { return slices.ContainsFunc(addrs, c.Touches) })
}

var dnatForm = regexp.MustCompile(
	`^(?:! -s fe80::/10 )?(?:-d (\S+) )?-p udp -m udp --dport (\d+) -j DNAT --to-destination (\S+)$`)

// forwarding is a UDP publication as its DNAT rule says it.
type forwarding struct {
	// host is the zero Addr for every address of the host.
	host   netip.Addr
	port   uint16
	target netip.AddrPort
}

// udpForwardings reads the publications that rules make.
func udpForwardings(rules []Rule) []forwarding {
	var out []forwarding
	for _, r := range rules {
		m := dnatForm.FindStringSubmatch(r.Spec)
		if m == nil || r.Table != tableNAT {
			continue
		}
		var fw forwarding
		if p, err := netip.ParsePrefix(m[1]); err == nil {
			fw.host = p.Addr()
		}
		port, err := strconv.ParseUint(m[2], 10, 16)
		target, err2 := netip.ParseAddrPort(m[3])
		if err != nil || err2 != nil {
			continue
		}
		fw.port, fw.target = uint16(port), target
		out = append(out, fw)
	}
	return out
}

// concerns reports whether a UDP connection has to be looked at anew because fw
// appeared or went: it goes to the host port, translated or (begun before the
// port was published) not, or it was led to the container's port.
func (fw *forwarding) concerns(c *conntrack.Connection, local func(netip.Addr) bool) bool {
	if c.Orig.Proto != uint8(model.UDP) {
		return false
	}
	if c.Led() && c.Reply.Src == fw.target {
		return true
	}
	if c.Orig.Dst.Port() != fw.port {
		return false
	}
	if fw.host.IsValid() {
		return c.Orig.Dst.Addr() == fw.host
	}
	return local(c.Orig.Dst.Addr())
}

// purgeUDP ends the UDP connections that the changed rules concern, so that the
// next packet of each finds its way by the new ones. Docker compares with the
// container's port only (moby#53384).
func (d *Datapath) purgeUDP(changes [len(families)]delta) error {
	var changed [len(families)][]forwarding
	for _, f := range families {
		changed[f] = append(udpForwardings(changes[f].del), udpForwardings(changes[f].add)...)
	}
	if len(changed[IPv4])+len(changed[IPv6]) == 0 {
		return nil
	}
	local := d.state.hostAddresses()
	isLocal := func(a netip.Addr) bool { return a.IsLoopback() || local[a] }
	return purgeWhere(func(c *conntrack.Connection) bool {
		return slices.ContainsFunc(changed[familyOf(c)], func(fw forwarding) bool { return fw.concerns(c, isLocal) })
	})
}

// hostAddresses are all addresses that packets to a published port may have.
func (s *state) hostAddresses() map[netip.Addr]bool {
	local := make(map[netip.Addr]bool)
	for _, a := range s.host.Addresses {
		local[a] = true
	}
	for _, u := range s.host.Uplinks {
		for _, p := range u.Addresses {
			local[p.Addr()] = true
		}
	}
	for _, n := range s.networks {
		for _, f := range families {
			if subnet := f.subnet(&n); subnet != nil {
				local[subnet.Gateway] = true
			}
		}
	}
	for _, svc := range s.services {
		for _, fr := range svc.Fronts {
			local[fr.Addr] = true
		}
	}
	return local
}

// purgeStrangers ends the connections of addresses in the networks' subnets that
// belong to no endpoint: of endpoints that went while no daemon was there.
func (d *Datapath) purgeStrangers() error {
	known := d.state.hostAddresses()
	for _, e := range d.state.endpoints {
		known[e.IPv4], known[e.IPv6] = true, true
	}
	return purgeWhere(func(c *conntrack.Connection) bool {
		return slices.ContainsFunc([]netip.Addr{c.Orig.Src.Addr(), c.Reply.Src.Addr()}, func(a netip.Addr) bool {
			return !known[a] && d.state.inSubnet(familyOf(c), a)
		})
	})
}

func (s *state) inSubnet(f Family, a netip.Addr) bool {
	for _, n := range s.networks {
		if subnet := f.subnet(&n); subnet != nil && subnet.Prefix.Contains(a) {
			return true
		}
	}
	return false
}
