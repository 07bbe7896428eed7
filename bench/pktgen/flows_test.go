// SPDX-License-Identifier: Apache-2.0

package pktgen

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/netns"
)

// receive reads so many datagrams and returns how often each source came.
func receive(t *testing.T, p *pair, addr netip.AddrPort, send func(), count int) map[netip.AddrPort]int {
	t.Helper()
	fd := -1
	check(t, netns.Do(p.b, func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	defer unix.Close(fd)
	check(t, unix.Bind(fd, &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}))
	timeout := unix.NsecToTimeval((5 * time.Second).Nanoseconds())
	check(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout))
	send()
	came := map[netip.AddrPort]int{}
	for range count {
		buf := make([]byte, 100)
		_, from, err := unix.Recvfrom(fd, buf, 0)
		check(t, err)
		sa := from.(*unix.SockaddrInet4)
		came[netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))]++
	}
	return came
}

// Flows come one after the other, each as often as all others.
func TestFlowsTakeTurns(t *testing.T) {
	p := newPair(t)
	flows := families["ipv4"]
	flows.SrcPorts, flows.SrcAddrs, flows.Count = 4, 3, 10
	g := p.generator(t, p.config(flows))
	came := receive(t, p, flows.Dst, func() {
		_, err := g.Run(t.Context(), 50)
		check(t, err)
	}, 50)
	for i := range 10 {
		addr := flows.Src.Addr().As4()
		addr[3] += byte(i / 4)
		src := netip.AddrPortFrom(netip.AddrFrom4(addr), flows.Src.Port()+uint16(i%4))
		if came[src] != 5 {
			t.Errorf("flow %d from %s came %d times", i, src, came[src])
		}
	}
	if len(came) != 10 {
		t.Errorf("came from %v", came)
	}
}

func TestRewind(t *testing.T) {
	p := newPair(t)
	flows := families["ipv4"]
	flows.SrcPorts, flows.SrcAddrs = 4, 4
	g := p.generator(t, p.config(flows))
	came := receive(t, p, flows.Dst, func() {
		for range 2 {
			check(t, g.Rewind())
			_, err := g.Run(t.Context(), 6)
			check(t, err)
		}
	}, 12)
	if len(came) != 6 || came[flows.Src] != 2 {
		t.Errorf("came from %v", came)
	}
}

func TestRandomFlows(t *testing.T) {
	p := newPair(t)
	flows := families["ipv4"]
	flows.SrcPorts, flows.Random = 60000, true
	g := p.generator(t, p.config(flows))
	came := receive(t, p, flows.Dst, func() {
		_, err := g.Run(t.Context(), 50)
		check(t, err)
	}, 50)
	if len(came) < 40 {
		t.Errorf("50 datagrams came from %d sources", len(came))
	}
}
