// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"syscall"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/nl"
	"github.com/vishvananda/netlink"
	rtnl "github.com/vishvananda/netlink/nl"
	vnetns "github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

const (
	// settle is how long changes are gathered before the host is looked at.
	settle = 50 * time.Millisecond
	// retry is the pause after the kernel refused to answer.
	retry = time.Second
	// receiveBuffer in bytes; more than fits only makes one look superfluous.
	receiveBuffer = 1 << 20
)

// Watcher tells when the host's uplinks or addresses change. What the kernel
// reports only makes it look again at everything, so that a report that was lost
// (ENOBUFS) costs nothing.
type Watcher struct {
	scope  Scope
	log    *slog.Logger
	nl     *netlink.Handle
	events *rtnl.NetlinkSocket
	ns     vnetns.NsHandle
	dirty  chan struct{}
}

// NewWatcher subscribes to the host's devices and addresses. Run has to be
// called, which also frees what the watcher holds; h stays open until then.
func (h *Host) NewWatcher(scope Scope, log *slog.Logger) (*Watcher, error) {
	handle, err := h.ns.Handle()
	if err != nil {
		return nil, err
	}
	w := &Watcher{scope: scope, log: log, nl: handle, ns: vnetns.NsHandle(h.ns.Fd()), dirty: make(chan struct{}, 1)}
	if err := w.subscribe(); err != nil {
		handle.Close()
		return nil, err
	}
	return w, nil
}

// Refresh makes the watcher look again, as when what Scope.Ignore says changed.
func (w *Watcher) Refresh() {
	select {
	case w.dirty <- struct{}{}:
	default:
	}
}

// Run calls changed with what the host is like now and again after every change,
// never at the same time, until ctx ends.
func (w *Watcher) Run(ctx context.Context, changed func(datapath.Host)) {
	received := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(received)
		w.receive(ctx)
	}()
	defer w.nl.Close()
	defer func() { <-received }()
	defer cancel()

	w.Refresh()
	var last datapath.Host
	for first := true; ; {
		pause := settle
		now, err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.log.Error("looking at the host's devices", "err", err)
			w.Refresh()
			pause = retry
		case first || !reflect.DeepEqual(now, last):
			first, last = false, now
			changed(now)
		}
		sleep(ctx, pause)
	}
}

// look waits until there is something to see.
func (w *Watcher) look(ctx context.Context) (datapath.Host, error) {
	select {
	case <-ctx.Done():
		return datapath.Host{}, ctx.Err()
	case <-w.dirty:
		return observe(w.nl, w.scope)
	}
}

// receive marks what the kernel reports, until ctx ends.
func (w *Watcher) receive(ctx context.Context) {
	for ctx.Err() == nil {
		if w.events == nil {
			if err := w.subscribe(); err != nil {
				w.log.Error("watching the host's devices", "err", err)
				sleep(ctx, retry)
				continue
			}
			w.Refresh()
		}
		err := nl.Drain(ctx, w.events, w.Refresh, w.note)
		w.events = nil
		if ctx.Err() == nil {
			w.log.Warn("watching the host's devices: subscribing again", "err", err)
		}
	}
	if w.events != nil {
		w.events.Close()
	}
}

// note marks what the kernel reported.
func (w *Watcher) note(messages []syscall.NetlinkMessage) {
	for _, m := range messages {
		if !noise(m) {
			w.Refresh()
		}
	}
}

func (w *Watcher) subscribe() error {
	s, err := rtnl.SubscribeAt(w.ns, vnetns.None(), unix.NETLINK_ROUTE,
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return fmt.Errorf("subscribe to devices and addresses: %w", err)
	}
	if err := s.SetReceiveBufferSize(receiveBuffer, true); err != nil {
		s.Close()
		return fmt.Errorf("subscribe to devices and addresses: buffer of %d bytes: %w", receiveBuffer, err)
	}
	w.events = s
	return nil
}

// noise reports whether m is about a device that can't be an uplink: attaching
// an endpoint shouldn't make the watcher list all the others. A bridge tells of
// its ports in messages of its own family, which lack the device's kind; that a
// device became a port or ceased to be one is told in the ordinary family too.
func noise(m syscall.NetlinkMessage) bool {
	if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK {
		return false
	}
	if len(m.Data) > 0 && m.Data[0] == unix.AF_BRIDGE {
		return true
	}
	l, err := netlink.LinkDeserialize((*unix.NlMsghdr)(&m.Header), m.Data)
	return err == nil && ownOrDockers(l)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
