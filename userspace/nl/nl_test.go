// SPDX-License-Identifier: Apache-2.0

package nl

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"net"
	"net/netip"
	"runtime"
	"slices"
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

// What every address is to Addresses, it is to AddrList.
func TestAddresses(t *testing.T) {
	runtime.LockOSThread() // never unlocked: the thread ends with its namespace
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	var devices []netlink.Link
	for _, name := range []string{"a", "b"} {
		b := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}
		if err := netlink.LinkAdd(b); err != nil {
			t.Fatal(err)
		}
		devices = append(devices, b)
	}
	for i := range 600 {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 1, byte(i>>8), byte(i)), Mask: net.CIDRMask(24+i%9, 32)}}
		switch i % 3 {
		case 1:
			ip := net.ParseIP("fd00::")
			ip[14], ip[15] = byte(i>>8), byte(i)
			addr.IPNet = &net.IPNet{IP: ip, Mask: net.CIDRMask(120+i%9, 128)}
		case 2:
			addr.Peer = &net.IPNet{IP: net.IPv4(10, 2, byte(i>>8), byte(i)), Mask: net.CIDRMask(30, 32)}
		}
		if err := netlink.AddrAdd(devices[i%2], addr); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Addresses()
	if err != nil {
		t.Fatal(err)
	}
	all, err := AddrList(nil, nil, netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[int][]Address)
	for _, a := range all {
		addr, _ := netip.AddrFromSlice(a.IP)
		ones, _ := a.Mask.Size()
		want[a.LinkIndex] = append(want[a.LinkIndex], Address{netip.PrefixFrom(addr.Unmap(), ones), uint8(a.Scope), uint32(a.Flags)})
	}
	if len(all) < 600 || !maps.EqualFunc(got, want, slices.Equal[[]Address]) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAddressOfBrokenMessage(t *testing.T) {
	for _, m := range [][]byte{nil, make([]byte, 7), append(make([]byte, 8), 0, 0, 1, 0), append(make([]byte, 8), 12, 0, 1, 0, 1, 2, 3)} {
		if _, _, err := parseAddress(m); err == nil {
			t.Errorf("% x is an address", m)
		}
	}
	if _, p, err := parseAddress(make([]byte, 8)); err != nil || p.IsValid() {
		t.Errorf("a message without an address: %v, %v", p, err)
	}
}

func TestBrokenDump(t *testing.T) {
	message := func(kind, flags uint16, data ...byte) []byte {
		m := binary.NativeEndian.AppendUint32(nil, uint32(unix.NLMSG_HDRLEN+len(data)))
		m = binary.NativeEndian.AppendUint16(m, kind)
		m = binary.NativeEndian.AppendUint16(m, flags)
		return append(append(m, make([]byte, 8)...), data...)
	}
	address := message(unix.RTM_NEWADDR, unix.NLM_F_MULTI, make([]byte, unix.SizeofIfAddrmsg)...)
	failed := binary.NativeEndian.AppendUint32(nil, ^uint32(unix.EBUSY)+1)
	for name, tt := range map[string]struct {
		part              []byte
		seen              int
		done, interrupted bool
		err               error
	}{
		"more to come": {address, 1, false, false, nil},
		"the last":     {append(slices.Clone(address), message(unix.NLMSG_DONE, unix.NLM_F_MULTI, 0, 0, 0, 0)...), 1, true, false, nil},
		"interrupted":  {message(unix.NLMSG_DONE, unix.NLM_F_DUMP_INTR), 0, true, true, nil},
		"failed":       {message(unix.NLMSG_ERROR, 0, failed...), 0, true, false, unix.EBUSY},
	} {
		seen := 0
		done, interrupted, err := messages(tt.part, func([]byte) error { seen++; return nil })
		if seen != tt.seen || done != tt.done || interrupted != tt.interrupted || !errors.Is(err, tt.err) {
			t.Errorf("%s: %d messages, %v, %v, %v", name, seen, done, interrupted, err)
		}
	}
	if _, _, err := messages(address[:20], nil); err == nil {
		t.Error("a part of a message is one")
	}
}
