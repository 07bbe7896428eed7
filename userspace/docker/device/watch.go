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
	// Changed is called after anything else that may matter. It must return soon.
	Changed func()
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
	changed := false
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK {
			changed = true
			continue
		}
		l, err := netlink.LinkDeserialize((*unix.NlMsghdr)(&m.Header), m.Data)
		if err != nil {
			changed = true
			continue
		}
		if v, is := vethOf(l); is && m.Header.Type == unix.RTM_NEWLINK {
			r.Appeared(v)
		}
		changed = changed || l.Type() == "bridge" || l.Type() == "veth"
	}
	if changed {
		r.Changed()
	}
}
