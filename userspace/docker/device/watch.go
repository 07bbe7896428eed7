// SPDX-License-Identifier: Apache-2.0

package device

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	rtnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/nl"
)

const (
	// receiveBuffer in bytes.
	receiveBuffer = 1 << 20
	// retry is the pause after the kernel refused a subscription.
	retry = time.Second
)

// Subscription tells of changes to bridges and veths.
type Subscription struct {
	log    *slog.Logger
	events *rtnl.NetlinkSocket
}

// Subscribe begins to listen, so that what Look sees afterwards and what Run
// tells leave no gap. Run has to be called, and frees what the subscription holds.
func Subscribe(log *slog.Logger) (*Subscription, error) {
	s := &Subscription{log: log}
	return s, s.open()
}

func (s *Subscription) open() error {
	events, err := rtnl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("subscribe to devices: %w", err)
	}
	if err := events.SetReceiveBufferSize(receiveBuffer, true); err != nil {
		events.Close()
		return fmt.Errorf("subscribe to devices: buffer of %d bytes: %w", receiveBuffer, err)
	}
	s.events = events
	return nil
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
			if err = s.open(); err == nil {
				to.Lost()
				break
			}
			sleep(ctx, retry)
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

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
