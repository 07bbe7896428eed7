// SPDX-License-Identifier: Apache-2.0

package link

import (
	"context"
	"log/slog"
	"net/netip"
	"syscall"
	"time"

	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/nl"
	"github.com/fairway-project/fairway/userspace/pace"
	"github.com/vishvananda/netlink"
	rtnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// settle is how long changes are gathered before the host is looked at.
	settle = 50 * time.Millisecond
	// retry is the pause after something failed, and longestRetry what it grows to
	// if it fails again.
	retry        = time.Second
	longestRetry = 30 * time.Second
)

// Watcher tells when the host's uplinks or addresses may have changed. What the
// kernel reports only makes its user look again at everything, so that a report that
// was lost (ENOBUFS) costs nothing.
type Watcher struct {
	log    *slog.Logger
	events *rtnl.NetlinkSocket
	ns     *netns.NS
	dirty  pace.Signal
	// own reports addresses whose coming is no news; nil for none.
	own func(netip.Addr) bool
	// veths are the indexes of containers' devices; only who receives knows of it.
	veths map[int]bool
}

// NewWatcher subscribes to the host's devices and addresses. Run has to be
// called, which also frees what the watcher holds; h stays open until then.
func (h *Host) NewWatcher(log *slog.Logger) (*Watcher, error) {
	w := &Watcher{log: log, ns: h.ns, dirty: pace.NewSignal(), veths: make(map[int]bool)}
	if err := w.subscribe(); err != nil {
		return nil, err
	}
	return w, nil
}

// Ignore has the watcher not call look for addresses that come and that own says yes to:
// there may be thousands. That one goes is news all the same. It is called before Run.
func (w *Watcher) Ignore(own func(netip.Addr) bool) { w.own = own }

// Refresh makes the watcher call look again, as when what Scope.Ignore says changed.
func (w *Watcher) Refresh() { w.dirty.Raise() }

// Run calls look at once and again after every change, never at the same time,
// until ctx ends. After an error look is called again though nothing changed, at
// growing intervals. It is for look to compare what it sees with what it acted on:
// the host may have been another between two calls, and somebody else have acted on that.
func (w *Watcher) Run(ctx context.Context, look func(context.Context) error) {
	received := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(received)
		w.receive(ctx)
	}()
	defer func() { <-received }()
	defer cancel()

	pause := retry
	for again := time.After(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-w.dirty:
		case <-again:
		}
		again = nil
		if look(ctx) == nil {
			pause = retry
		} else {
			again = time.After(pause)
			pause = min(2*pause, longestRetry)
		}
		pace.Sleep(ctx, settle)
	}
}

// receive marks what the kernel reports, until ctx ends.
func (w *Watcher) receive(ctx context.Context) {
	for ctx.Err() == nil {
		if w.events == nil {
			if err := w.subscribe(); err != nil {
				w.log.Error("watching the host's devices", "err", err)
				pace.Sleep(ctx, retry)
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
		if !w.noise(m) && !w.ownAddress(m) {
			w.Refresh()
		}
	}
}

func (w *Watcher) subscribe() error {
	return w.ns.Do(func() (err error) {
		w.events, err = nl.Subscribe()
		return err
	})
}

// ownAddress reports whether m tells of an address that has come and is no news.
func (w *Watcher) ownAddress(m syscall.NetlinkMessage) bool {
	if w.own == nil || m.Header.Type != unix.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
		return false
	}
	attrs, err := rtnl.ParseRouteAttr(m.Data[unix.SizeofIfAddrmsg:])
	if err != nil {
		return false
	}
	for _, a := range attrs {
		if addr, ok := netip.AddrFromSlice(a.Value); ok && a.Attr.Type == unix.IFA_ADDRESS {
			return w.own(addr)
		}
	}
	return false
}

// noise reports whether m is about a device that can't be an uplink: attaching
// an endpoint shouldn't make the watcher list all the others. A bridge tells of
// its ports in messages of its own family, which lack the device's kind; that a
// device became a port or ceased to be one is told in the ordinary family too. The
// host's ends of Docker's devices get IPv6 addresses of their own.
func (w *Watcher) noise(m syscall.NetlinkMessage) bool {
	switch m.Header.Type {
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if len(m.Data) < unix.SizeofIfAddrmsg {
			return false
		}
		a := rtnl.DeserializeIfAddrmsg(m.Data)
		return a.Family == unix.AF_INET6 && a.Scope == unix.RT_SCOPE_LINK && w.veths[int(a.Index)]
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
	default:
		return false
	}
	if len(m.Data) > 0 && m.Data[0] == unix.AF_BRIDGE {
		return true
	}
	l, err := netlink.LinkDeserialize((*unix.NlMsghdr)(&m.Header), m.Data)
	if err != nil {
		return false
	}
	if isContainers(l) && m.Header.Type == unix.RTM_NEWLINK {
		w.veths[l.Attrs().Index] = true
	} else {
		delete(w.veths, l.Attrs().Index)
	}
	return ownOrDockers(l)
}
