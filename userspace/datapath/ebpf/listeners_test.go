// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/host"
)

func TestRawProtocols(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  89: 00000000:0059 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 151183 2 0000000000000000 0
 255: 00000000:00FF 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 151184 2 0000000000000000 0

  47: 00000000000000000000000001000000:002F 00000000000000000000000000000000:0000 07 0 0
  xx: nothing
`
	if diff := cmp.Diff([]uint8{89, 47}, rawProtocols(table)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What listens before the datapath starts, and what begins and ends later.
func TestListeners(t *testing.T) {
	w := newWorld(t)
	listens := func(want map[host.Protocol]uint32) {
		t.Helper()
		if err := w.dp.listeners.devicesChanged(); err != nil {
			t.Fatal(err)
		}
		got, err := w.dp.addresses.table.Listeners()
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	raw := func(domain, protocol int) (fd int) {
		w.do(func() (err error) {
			fd, err = unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
			return err
		})
		return fd
	}
	end := func(fd int) {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}
	ospf, gre := host.Protocol{Number: 89}, host.Protocol{IPv6: true, Number: 47}
	listens(map[host.Protocol]uint32{})
	first, second := raw(unix.AF_INET, 89), raw(unix.AF_INET, 89)
	listens(map[host.Protocol]uint32{ospf: 2})
	third := raw(unix.AF_INET6, 47)
	end(first)
	listens(map[host.Protocol]uint32{ospf: 1, gre: 1})
	end(second)
	w.restart()
	listens(map[host.Protocol]uint32{gre: 1})
	end(third)
	listens(map[host.Protocol]uint32{})
}

// A tunnel takes its protocol while it is up; what the kernel makes by itself is down.
func TestTunnelsListen(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		link netlink.Link
		want []host.Protocol
	}{
		{&netlink.Gretun{LinkAttrs: netlink.LinkAttrs{Name: "t"}, Local: net.IPv4(192, 0, 2, 1), Remote: net.IPv4(192, 0, 2, 2)}, []host.Protocol{{Number: 47}}},
		{&netlink.Iptun{LinkAttrs: netlink.LinkAttrs{Name: "t"}, Local: net.IPv4(192, 0, 2, 1), Remote: net.IPv4(192, 0, 2, 2)}, []host.Protocol{{Number: 4}}},
		{&netlink.Sittun{LinkAttrs: netlink.LinkAttrs{Name: "t"}, Local: net.IPv4(192, 0, 2, 1), Remote: net.IPv4(192, 0, 2, 2)}, []host.Protocol{{Number: 41}, {Number: 4}}},
	} {
		t.Run(c.link.Type(), func(t *testing.T) {
			var add error
			w.do(func() error { add = netlink.LinkAdd(c.link); return nil })
			if errors.Is(add, unix.EOPNOTSUPP) {
				t.Skip("this kernel has no such tunnels")
			}
			if add != nil {
				t.Fatal(add)
			}
			w.tunnel(t, nil)
			w.do(func() error { return netlink.LinkSetUp(c.link) })
			w.tunnel(t, c.want)
			w.do(func() error { return netlink.LinkDel(c.link) })
			w.tunnel(t, nil)
		})
	}
}

func (w *world) tunnel(t *testing.T, want []host.Protocol) {
	t.Helper()
	if err := w.dp.listeners.devicesChanged(); err != nil {
		t.Fatal(err)
	}
	all := map[host.Protocol]uint32{}
	for _, p := range want {
		all[p] = 1
	}
	got, err := w.dp.addresses.table.Listeners()
	if diff := cmp.Diff(all, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
