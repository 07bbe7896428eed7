// SPDX-License-Identifier: Apache-2.0

package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	rtnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
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

// Run calls changed after every change that may matter, and after reports were
// lost, until ctx ends. Changed must return soon.
func (s *Subscription) Run(ctx context.Context, changed func()) {
	for ctx.Err() == nil {
		err := s.drain(ctx, changed)
		for ctx.Err() == nil {
			s.log.Warn("watching Docker's devices: subscribing again", "err", err)
			if err = s.open(); err == nil {
				changed()
				break
			}
			sleep(ctx, retry)
		}
	}
}

// drain reads reports until that fails, and closes the socket.
func (s *Subscription) drain(ctx context.Context, changed func()) error {
	events := s.events
	stop := context.AfterFunc(ctx, events.Close)
	defer func() {
		if stop() {
			events.Close()
		}
	}()
	for {
		messages, _, err := events.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			changed()
		case err != nil:
			return err
		case relevant(messages):
			changed()
		}
	}
}

func relevant(messages []syscall.NetlinkMessage) bool {
	for _, m := range messages {
		if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK {
			return true
		}
		l, err := netlink.LinkDeserialize((*unix.NlMsghdr)(&m.Header), m.Data)
		if err != nil || l.Type() == "bridge" || l.Type() == "veth" {
			return true
		}
	}
	return false
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
