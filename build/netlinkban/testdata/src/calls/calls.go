// SPDX-License-Identifier: Apache-2.0

package calls

import (
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

// LinkList is somebody else's function of that name.
func LinkList() {}

func calls(h *netlink.Handle) {
	LinkList()
	_ = netlink.LinkDel()
	_ = h.LinkByName()
	_ = netlink.LinkList()    // want "raw netlink dump LinkList"
	_ = h.RouteListFiltered() // want "raw netlink dump RouteListFiltered"
	_ = netlink.NewHandle()
	_ = netlink.NewHandleAt() // want "NewHandleAt moves any thread"
	_ = nl.SubscribeAt()      // want "SubscribeAt moves any thread"
}
