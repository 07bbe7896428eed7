// SPDX-License-Identifier: Apache-2.0

package link

import (
	"cmp"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/nl"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Scope says which devices may be uplinks.
type Scope struct {
	// Uplinks are the names of the only devices that count. If empty, every
	// device counts that isn't Fairway's, Docker's or a container's.
	Uplinks []string
	// Ignore reports devices that don't count although Fairway did not make
	// them: bridges that were adopted. It may be nil.
	Ignore func(name string) bool
}

var (
	// dockerBridge is a bridge of a user-defined network in Docker.
	dockerBridge = regexp.MustCompile(`^br-[0-9a-f]{12}$`)
	// containerVeth is a container's in Docker (7 digits) or Fairway (11). It
	// counts as one by its name, since it isn't enslaved for a moment.
	containerVeth = regexp.MustCompile(`^veth[0-9a-f]{7,11}$`)
	// swarmTunnel is a VXLAN device of Docker's overlay networks: the one that it makes to
	// see whether the kernel can, or a network's, on its way to a namespace of its own.
	swarmTunnel = regexp.MustCompile(`^(testvxlan|vx-[0-9a-f]{6}-.+)$`)
	// dockerDummy is what Docker makes for a macvlan or ipvlan network without parent.
	dockerDummy = regexp.MustCompile(`^d[mi]-[0-9a-f]{12}$`)
	// fallbackTunnel is a device that the kernel makes in every namespace when
	// the tunnel's module is loaded.
	fallbackTunnel = regexp.MustCompile(`^(tunl|gre|gretap|erspan|ip_vti|ip6_vti|sit|ip6tnl|ip6gre)0$`)
	// pseudo are the kinds of devices that never lead anywhere by themselves. A
	// VRF's traffic comes in through its members.
	pseudo = []string{"ifb", "nlmon", "vcan", "vxcan", "can", "vrf"}
)

// Observe lists the devices that lead outside and the host's addresses.
func (h *Host) Observe(scope Scope) (model.Host, error) {
	links, err := nl.LinkList(h.nl)
	if err != nil {
		return model.Host{}, err
	}
	addrs, err := h.addresses()
	if err != nil {
		return model.Host{}, err
	}
	dropContainers(addrs, links)
	host := model.Host{Addresses: allAddresses(addrs)}
	for _, l := range links {
		a := l.Attrs()
		if scope.uplink(l, links) {
			host.Uplinks = append(host.Uplinks, model.Uplink{
				Name: a.Name, Index: a.Index, MAC: macOf(a.HardwareAddr), L3: a.EncapType != "ether", Addresses: uplinkAddresses(addrs[a.Index]),
			})
		}
	}
	slices.SortFunc(host.Uplinks, func(a, b model.Uplink) int { return cmp.Compare(a.Index, b.Index) })
	return host, nil
}

// isContainers reports whether l is the host's end of a container's veth.
func isContainers(l netlink.Link) bool {
	return l.Type() == "veth" && containerVeth.MatchString(l.Attrs().Name)
}

// dropContainers leaves out the link-local addresses that the kernel gives the host's
// ends of Docker's veths. Nobody reaches them, since all that comes in there is the bridge's;
// and each container would be a change of the host.
func dropContainers(addrs map[int][]nl.Address, links []netlink.Link) {
	for _, l := range links {
		if index := l.Attrs().Index; isContainers(l) {
			addrs[index] = slices.DeleteFunc(addrs[index], func(a nl.Address) bool { return a.Scope == unix.RT_SCOPE_LINK && a.Addr().Is6() })
		}
	}
}

// uplink reports whether l leads outside, up or not: it may come up.
func (s Scope) uplink(l netlink.Link, all []netlink.Link) bool {
	a := l.Attrs()
	switch {
	case len(s.Uplinks) > 0:
		return slices.Contains(s.Uplinks, a.Name)
	case a.Flags&net.FlagLoopback != 0, slices.Contains(pseudo, l.Type()):
		return false
	case ownOrDockers(l), s.Ignore != nil && s.Ignore(a.Name):
		return false
	case fallbackTunnel.MatchString(a.Name) && a.Flags&net.FlagUp == 0:
		return false
	}
	// A member of a bridge, bond or team hands its packets to the master, which
	// counts instead.
	return a.MasterIndex == 0 || kindOf(a.MasterIndex, all) == "vrf"
}

func macOf(a net.HardwareAddr) (mac model.MAC) {
	copy(mac[:], a)
	return mac
}

func ownOrDockers(l netlink.Link) bool {
	a := l.Attrs()
	switch l.Type() {
	case "bridge":
		if a.Name == "docker0" || a.Name == "docker_gwbridge" || dockerBridge.MatchString(a.Name) {
			return true
		}
	case "veth", "macvlan", "ipvlan":
		// Docker gives the ends that go into containers such names as well, whatever the driver.
		if containerVeth.MatchString(a.Name) {
			return true
		}
	case "vxlan":
		if swarmTunnel.MatchString(a.Name) {
			return true
		}
	case "dummy":
		if dockerDummy.MatchString(a.Name) {
			return true
		}
	}
	return strings.HasPrefix(a.Alias, AliasPrefix)
}

func kindOf(index int, all []netlink.Link) string {
	for _, l := range all {
		if l.Attrs().Index == index {
			return l.Type()
		}
	}
	return ""
}

func allAddresses(addrs map[int][]nl.Address) []netip.Addr {
	var all []netip.Addr
	for _, of := range addrs {
		for _, a := range of {
			all = append(all, a.Addr())
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// uplinkAddresses returns the global addresses of a device, the kernel's order
// kept but for those that are to be used last.
func uplinkAddresses(addrs []nl.Address) []netip.Prefix {
	var global []nl.Address
	for _, a := range addrs {
		if a.Scope == unix.RT_SCOPE_UNIVERSE && a.Flags&unix.IFA_F_DADFAILED == 0 {
			global = append(global, a)
		}
	}
	slices.SortStableFunc(global, func(a, b nl.Address) int { return cmp.Compare(lateness(a), lateness(b)) })
	var prefixes []netip.Prefix
	for _, a := range global {
		prefixes = append(prefixes, a.Prefix)
	}
	return prefixes
}

// lateness orders addresses: IFA_F_SECONDARY says secondary for IPv4 and
// temporary (RFC 8981) for IPv6.
func lateness(a nl.Address) int {
	switch {
	case a.Flags&(unix.IFA_F_DEPRECATED|unix.IFA_F_TENTATIVE) != 0:
		return 2
	case a.Flags&unix.IFA_F_SECONDARY != 0:
		return 1
	}
	return 0
}
