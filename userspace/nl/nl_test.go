// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	rtnl "github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func TestConsistentRepeatsInterruptedDumps(t *testing.T) {
	answers := []error{netlink.ErrDumpInterrupted, unix.EINTR, nil}
	calls := 0
	got, err := consistent("things", func() ([]int, error) {
		calls++
		return []int{calls}, answers[calls-1]
	})
	if err != nil || calls != 3 || len(got) != 1 || got[0] != 3 {
		t.Fatalf("got %v, %v after %d calls, want the third answer", got, err, calls)
	}
}

func TestConsistentGivesUp(t *testing.T) {
	calls := 0
	got, err := consistent("things", func() ([]int, error) {
		calls++
		return []int{1}, netlink.ErrDumpInterrupted
	})
	if !errors.Is(err, netlink.ErrDumpInterrupted) || got != nil || calls != attempts {
		t.Fatalf("got %v, %v after %d calls, want ErrDumpInterrupted and no partial list", got, err, calls)
	}
}

func TestConsistentReturnsOtherErrorsAtOnce(t *testing.T) {
	calls := 0
	_, err := consistent("things", func() ([]int, error) {
		calls++
		return nil, unix.EPERM
	})
	if !errors.Is(err, unix.EPERM) || calls != 1 {
		t.Fatalf("got %v after %d calls, want EPERM after one", err, calls)
	}
}

// The lists themselves, against the running kernel, with and without a handle.
func TestLists(t *testing.T) {
	h, err := netlink.NewHandle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, h := range []*netlink.Handle{nil, h} {
		links, err := LinkList(h)
		if err != nil {
			t.Fatal(err)
		}
		var lo netlink.Link
		for _, l := range links {
			if l.Attrs().Name == "lo" {
				lo = l
			}
		}
		if lo == nil {
			t.Fatal("no device lo")
		}
		for what, list := range map[string]func() error{
			"AddrList":   func() error { _, err := AddrList(h, lo, netlink.FAMILY_ALL); return err },
			"NeighList":  func() error { _, err := NeighList(h, 0, netlink.FAMILY_V4); return err },
			"QdiscList":  func() error { _, err := QdiscList(h, lo); return err },
			"FilterList": func() error { _, err := FilterList(h, lo, netlink.HANDLE_MIN_INGRESS); return err },
			"RouteListFiltered": func() error {
				_, err := RouteListFiltered(h, netlink.FAMILY_V6, &netlink.Route{Table: unix.RT_TABLE_LOCAL}, netlink.RT_FILTER_TABLE)
				return err
			},
		} {
			if err := list(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// Reports are handed on until the context ends; then the socket is closed.
func TestDrain(t *testing.T) {
	runtime.LockOSThread() // the namespace goes with the thread
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	s, err := rtnl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "reported"}}); err != nil {
		t.Fatal(err)
	}
	reported := false
	err = Drain(ctx, s, func() { t.Error("reports were lost") }, func(messages []syscall.NetlinkMessage) {
		for _, m := range messages {
			reported = reported || bytes.Contains(m.Data, []byte("reported"))
		}
		if reported {
			cancel()
		}
	})
	if err == nil || !reported {
		t.Errorf("ended with %v, reported %t", err, reported)
	}
	if _, _, err := s.Receive(); err == nil {
		t.Error("the socket is still open")
	}
}
