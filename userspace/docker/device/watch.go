// SPDX-License-Identifier: Apache-2.0

package device

import (
	"context"
	"log/slog"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	rtnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/nl"
	"github.com/fairway-project/fairway/userspace/pace"
)

// retry is the pause after the kernel refused a subscription.
const retry = time.Second

// Subscription tells of changes to bridges and veths.
type Subscription struct {
	log    *slog.Logger
	events *rtnl.NetlinkSocket
}

// Subscribe begins to listen, so that what Look sees afterwards and what Run
// tells leave no gap. Run has to be called, and frees what the subscription holds.
func Subscribe(log *slog.Logger) (*Subscription, error) {
	events, err := nl.Subscribe()
	return &Subscription{log, events}, err
}

// Reports are what a subscription calls, one at a time.
type Reports struct {
	// Appeared gets a host-side device that the kernel has just reported as a port
	// of a bridge, new or not.
	Appeared func(Veth)
	// Left gets the index of a device that is gone, or isn't one for Appeared any more.
	Left func(index int)
	// Told gets a bridge that the kernel has just reported, new or not, without addresses.
	// It does so for each port that comes or goes.
	Told func(name string, b Bridge)
	// Changed gets the index of a bridge that is gone, or of a device whose addresses are
	// others now.
	Changed func(index int)
	// Lost is called when reports were lost, new devices among them perhaps.
	Lost func()
}

// Run reports until ctx ends.
func (s *Subscription) Run(ctx context.Context, to Reports) {
	for ctx.Err() == nil {
		err := nl.Drain(ctx, s.events, to.Lost, to.pass)
		for ctx.Err() == nil {
			s.log.Warn("watching Docker's devices: subscribing again", "err", err)
			if s.events, err = nl.Subscribe(); err == nil {
				to.Lost()
				break
			}
			pace.Sleep(ctx, retry)
		}
	}
}

// pass reports what the kernel said in one go.
func (r Reports) pass(messages []syscall.NetlinkMessage) {
	changed := make(map[int]bool)
	for _, m := range messages {
		switch m.Header.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			r.link(m, changed)
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			if len(m.Data) >= unix.SizeofIfAddrmsg {
				changed[int(rtnl.DeserializeIfAddrmsg(m.Data).Index)] = true
			}
		}
	}
	for index := range changed {
		r.Changed(index)
	}
}

func (r Reports) link(m syscall.NetlinkMessage, changed map[int]bool) {
	if len(m.Data) < unix.SizeofIfInfomsg || m.Data[0] == unix.AF_BRIDGE {
		// What a bridge says of its ports; that they are some is said of them, too.
		return
	}
	index := int(rtnl.DeserializeIfInfomsg(m.Data).Index)
	l, err := netlink.LinkDeserialize((*unix.NlMsghdr)(&m.Header), m.Data)
	if err != nil {
		changed[index] = true
		return
	}
	switch v, is := vethOf(l); {
	case is && m.Header.Type == unix.RTM_NEWLINK:
		r.Appeared(v)
	case l.Type() == "veth":
		r.Left(index)
	case l.Type() == "bridge" && m.Header.Type == unix.RTM_NEWLINK:
		r.Told(l.Attrs().Name, bridgeOf(l))
	case l.Type() == "bridge":
		changed[index] = true
	}
}
