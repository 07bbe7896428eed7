// SPDX-License-Identifier: Apache-2.0

package harness

import "testing"

// Addresses of a second machine next to the host, on a link of their own.
const (
	SideIP4, SideIP6         = "203.0.113.2", "2001:db8:2::2"
	sideHostIP4, sideHostIP6 = "203.0.113.1", "2001:db8:2::1"
)

// Side is a neighbour on a second uplink of the host.
type Side struct {
	*Netns
	host *Netns
}

// NewSide adds device eth1 to the host with a neighbour behind it.
func NewSide(t testing.TB, w *Topology) *Side {
	t.Helper()
	s := &Side{Netns: w.add(t, "side"), host: w.Host}
	ipBatch(t, "", "link add eth1 netns "+w.Host.Name+" type veth peer name eth0 netns "+s.Name)
	w.Host.IP(t, "link set eth1 up", "addr add "+sideHostIP4+"/24 dev eth1", "addr add "+sideHostIP6+"/64 dev eth1 nodad")
	s.IP(t, "link set lo up", "link set eth0 up", "addr add "+SideIP4+"/24 dev eth0", "addr add "+SideIP6+"/64 dev eth0 nodad")
	return s
}

// HostAddr is the host's address on the link to the side.
func (s *Side) HostAddr(f Family) string {
	if f.Is6() {
		return sideHostIP6
	}
	return sideHostIP4
}

// Addr is the side's own address.
func (s *Side) Addr(f Family) string {
	if f.Is6() {
		return SideIP6
	}
	return SideIP4
}

// Remove takes the host's second uplink away.
func (s *Side) Remove(t testing.TB) { t.Helper(); s.host.IP(t, "link del eth1") }
