// SPDX-License-Identifier: Apache-2.0

package dumps

import "github.com/vishvananda/netlink"

// LinkList is somebody else's function of that name.
func LinkList() {}

func calls(h *netlink.Handle) {
	LinkList()
	_ = netlink.LinkDel()
	_ = h.LinkByName()
	_ = netlink.LinkList()    // want "raw netlink dump LinkList"
	_ = h.RouteListFiltered() // want "raw netlink dump RouteListFiltered"
}
