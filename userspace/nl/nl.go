// SPDX-License-Identifier: Apache-2.0

// Package nl lists kernel objects through netlink. It is the only place that
// calls the dump functions of vishvananda/netlink.
//
// A dump is several system calls, and the kernel marks it as interrupted
// (NLM_F_DUMP_INTR, netlink.ErrDumpInterrupted) when the list changed between
// them: what was read may then lack an object that was there all along. A signal
// makes it EINTR. Every function here repeats the dump until it was consistent.
//
// Be aware:
//   - a nil handle means the network namespace of the calling thread;
//   - a list that keeps changing makes the dump fail after 20 attempts with an
//     error that wraps netlink.ErrDumpInterrupted;
//   - lists cost time in proportion to their length: look single objects up by
//     name or index, which isn't a dump, where that serves.
package nl

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const attempts = 20

// LinkList returns all devices.
func LinkList(h *netlink.Handle) ([]netlink.Link, error) {
	return consistent("links", orCurrent(h).LinkList)
}

// AddrList returns the addresses of link, or of all devices if link is nil.
// family is netlink.FAMILY_V4, FAMILY_V6 or FAMILY_ALL.
func AddrList(h *netlink.Handle, link netlink.Link, family int) ([]netlink.Addr, error) {
	return consistent("addresses", func() ([]netlink.Addr, error) {
		return orCurrent(h).AddrList(link, family)
	})
}

// RouteListFiltered returns the routes that are like filter in the fields which
// mask names (netlink.RT_FILTER_*).
func RouteListFiltered(h *netlink.Handle, family int, filter *netlink.Route, mask uint64) ([]netlink.Route, error) {
	return consistent("routes", func() ([]netlink.Route, error) {
		return orCurrent(h).RouteListFiltered(family, filter, mask)
	})
}

// NeighList returns the neighbours of the device with this index, 0 for all.
func NeighList(h *netlink.Handle, index, family int) ([]netlink.Neigh, error) {
	return consistent("neighbours", func() ([]netlink.Neigh, error) {
		return orCurrent(h).NeighList(index, family)
	})
}

// XfrmStateList returns the states of IPsec; none where the kernel has no IPsec.
func XfrmStateList(h *netlink.Handle) ([]netlink.XfrmState, error) {
	states, err := consistent("IPsec states", func() ([]netlink.XfrmState, error) {
		return orCurrent(h).XfrmStateList(netlink.FAMILY_ALL)
	})
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil, nil
	}
	return states, err
}

// QdiscList returns the queueing disciplines of link, or all if link is nil.
func QdiscList(h *netlink.Handle, link netlink.Link) ([]netlink.Qdisc, error) {
	return consistent("qdiscs", func() ([]netlink.Qdisc, error) {
		return orCurrent(h).QdiscList(link)
	})
}

// FilterList returns the tc filters of link below parent.
func FilterList(h *netlink.Handle, link netlink.Link, parent uint32) ([]netlink.Filter, error) {
	return consistent("filters", func() ([]netlink.Filter, error) {
		return orCurrent(h).FilterList(link, parent)
	})
}

func orCurrent(h *netlink.Handle) *netlink.Handle {
	if h == nil {
		// Without sockets of its own a handle opens one per request, in the
		// namespace of the thread.
		return &netlink.Handle{}
	}
	return h
}

// consistent calls dump until its answer was complete.
func consistent[T any](what string, dump func() (T, error)) (T, error) {
	var zero T
	var err error
	for range attempts {
		var got T
		if got, err = dump(); err == nil {
			return got, nil
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.EINTR) {
			return zero, fmt.Errorf("list %s: %w", what, err)
		}
	}
	return zero, fmt.Errorf("list %s: still changing after %d attempts: %w", what, attempts, err)
}
