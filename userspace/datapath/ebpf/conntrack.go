// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/model"
)

// conntrack removes netfilter's entries of TCP connections with their flows. Those of
// a container that is gone would else stay for five days, and make the rules take
// what the next one with its address begins for established.
type conntrack struct {
	socket *nl.NetlinkSocket
}

// Attributes of linux/netfilter/nfnetlink_conntrack.h.
const (
	ctaTupleOrig                        = 1
	ctaTupleIP, ctaTupleProto           = 1, 2
	ctaIPv4Src, ctaIPv4Dst              = 1, 2
	ctaIPv6Src, ctaIPv6Dst              = 3, 4
	ctaProtoNum, ctaSrcPort, ctaDstPort = 1, 2, 3
)

// openConntrack works in the thread's network namespace.
func openConntrack() (*conntrack, error) {
	s, err := nl.Subscribe(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("conntrack: %w", err)
	}
	return &conntrack{s}, nil
}

func (c *conntrack) close() {
	if c != nil {
		c.socket.Close()
	}
}

// track is a connection as netfilter sees it: on the container's side of all
// translation.
type track struct {
	src, dst netip.AddrPort
}

// trackOf returns the connection that h is a half of, if netfilter keeps its state
// for as long as that of TCP.
func trackOf(h *flow.Half) (t track, tracked bool) {
	if h.Proto != uint8(model.TCP) {
		return t, false
	}
	origin, natSrc, natDst := h.Key, h.NATSrc, h.NATDst
	twinWorld := h.Flags&object.DatapathFlowFlagFLOW_TWIN_WORLD != 0
	if !h.Origin() {
		twinWorld = h.Zone == object.DatapathZoneZONE_WORLD
		origin, natSrc, natDst = h.Twin(), h.Dst, h.Src
	}
	switch {
	case origin.Zone == object.DatapathZoneZONE_WORLD:
		return track{natSrc, natDst}, true
	case twinWorld:
		return track{origin.Src, origin.Dst}, true
	}
	return t, false
}

// remove deletes the entry of a connection; one that isn't there is no error.
func (c *conntrack) remove(t track) error {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|nl.IPCTNL_MSG_CT_DELETE, unix.NLM_F_ACK)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: {Socket: c.socket}}
	family, src, dst := uint8(unix.AF_INET), ctaIPv4Src, ctaIPv4Dst
	if t.src.Addr().Is6() {
		family, src, dst = unix.AF_INET6, ctaIPv6Src, ctaIPv6Dst
	}
	req.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	tuple := nl.NewRtAttr(ctaTupleOrig|unix.NLA_F_NESTED, nil)
	ip := tuple.AddRtAttr(ctaTupleIP|unix.NLA_F_NESTED, nil)
	ip.AddRtAttr(src, t.src.Addr().AsSlice())
	ip.AddRtAttr(dst, t.dst.Addr().AsSlice())
	proto := tuple.AddRtAttr(ctaTupleProto|unix.NLA_F_NESTED, nil)
	proto.AddRtAttr(ctaProtoNum, []byte{uint8(model.TCP)})
	proto.AddRtAttr(ctaSrcPort, binary.BigEndian.AppendUint16(nil, t.src.Port()))
	proto.AddRtAttr(ctaDstPort, binary.BigEndian.AppendUint16(nil, t.dst.Port()))
	req.AddData(tuple)
	_, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("conntrack entry of %s to %s: %w", t.src, t.dst, err)
	}
	return nil
}
