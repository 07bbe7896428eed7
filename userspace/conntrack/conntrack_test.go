// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
)

// inNamespace runs f in a network namespace of its own.
func inNamespace(t *testing.T, f func(*Table)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "netns")
	must(t, netns.Create(path))
	defer func() { must(t, netns.Delete(path)) }()
	must(t, netns.Do(path, func() error {
		table, err := Open()
		if err != nil {
			return err
		}
		defer table.Close()
		f(table)
		return nil
	}))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func everything(*Connection) bool { return true }

func tuple(proto uint8, src, dst string) Tuple {
	return Tuple{Proto: proto, Src: netip.MustParseAddrPort(src), Dst: netip.MustParseAddrPort(dst)}
}

func raw(t Tuple) netlink.IPTuple {
	return netlink.IPTuple{
		Protocol: t.Proto, SrcIP: t.Src.Addr().AsSlice(), SrcPort: t.Src.Port(),
		DstIP: t.Dst.Addr().AsSlice(), DstPort: t.Dst.Port(),
	}
}

// add has the kernel track a connection for an hour; TCP is in the state, 0 is for others.
func add(t *testing.T, orig, reply Tuple, state uint8) {
	t.Helper()
	family := uint8(unix.AF_INET)
	if orig.Src.Addr().Is6() {
		family = unix.AF_INET6
	}
	entry := &netlink.ConntrackFlow{FamilyType: family, Forward: raw(orig), Reverse: raw(reply), TimeOut: 3600}
	if state != 0 {
		entry.ProtoInfo = &netlink.ProtoInfoTCP{State: state}
	}
	must(t, netlink.ConntrackCreate(netlink.ConntrackTable, netlink.InetFamily(family), entry))
}

func TestListAndRemove(t *testing.T) {
	out := tuple(unix.IPPROTO_TCP, "172.20.0.2:5000", "198.51.100.1:80")
	back := tuple(unix.IPPROTO_TCP, "198.51.100.1:80", "192.0.2.10:6000")
	out6 := tuple(unix.IPPROTO_TCP, "[fd00:20::2]:5000", "[2001:db8::1]:80")
	back6 := tuple(unix.IPPROTO_TCP, "[2001:db8::1]:80", "[fd00:20::2]:5000")
	ask := tuple(unix.IPPROTO_UDP, "172.20.0.3:5000", "198.51.100.1:53")
	told := tuple(unix.IPPROTO_UDP, "198.51.100.1:53", "172.20.0.3:5000")
	inNamespace(t, func(table *Table) {
		list := func(match func(*Connection) bool) map[Tuple]Connection {
			t.Helper()
			all, err := table.List(match)
			must(t, err)
			found := make(map[Tuple]Connection)
			for _, c := range all {
				found[c.Orig] = c
			}
			return found
		}
		add(t, out, back, TCPEstablished)
		add(t, out6, back6, TCPEstablished)
		add(t, ask, told, 0)
		all := list(everything)
		if len(all) != 3 {
			t.Fatalf("connections are %v", all)
		}
		for orig, want := range map[Tuple]Tuple{out: back, out6: back6, ask: told} {
			c := all[orig]
			if c.Reply != want || c.Is6() != orig.Src.Addr().Is6() || c.Timeout > time.Hour || c.Timeout < 50*time.Minute {
				t.Errorf("%+v, want the reply %+v", c, want)
			}
			if orig.Proto == unix.IPPROTO_TCP && c.TCPState != TCPEstablished {
				t.Errorf("%+v: state %d", orig, c.TCPState)
			}
		}
		translated := netip.MustParseAddr("192.0.2.10")
		if found := list(func(c *Connection) bool { return c.Touches(translated) }); len(found) != 1 || found[out].Reply != back {
			t.Errorf("of %s: %v", translated, found)
		}
		for _, addrs := range [][]string{
			{"172.20.0.2", "2001:db8::1"},
			{"198.51.100.2", "172.20.0.2", "fd00:20::2"},
			{"172.20.0.2", "2001:db8::1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"},
		} {
			var of []netip.Addr
			for _, a := range addrs {
				of = append(of, netip.MustParseAddr(a))
			}
			found, err := table.ListOf(of)
			must(t, err)
			if len(found) != 2 || found[0].Orig == found[1].Orig || found[0].Orig == ask || found[1].Orig == ask {
				t.Errorf("of %s: %+v", addrs, found)
			}
		}
		udp := all[ask]
		for range 2 {
			must(t, table.RemoveTuple(out))
			must(t, table.Remove(&udp))
		}
		if left := list(everything); len(left) != 1 || left[out6].Reply != back6 {
			t.Errorf("left are %v", left)
		}
		must(t, table.RemoveTuple(out6))
		// An entry that began anew is another one.
		add(t, ask, told, 0)
		must(t, table.Remove(&udp))
		if left := list(everything); len(left) != 1 {
			t.Errorf("left are %v", left)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	for name, msg := range map[string][]byte{
		"too short":         make([]byte, 3),
		"attribute too big": {2, 0, 0, 0, 200, 0, 1, 0},
		"of no size":        {2, 0, 0, 0, 0, 0, 1, 0},
	} {
		if err := new(Connection).parse(msg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
