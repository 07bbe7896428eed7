// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"golang.org/x/sys/unix"
)

// LAN and WAN reach a published port; the container sees the client itself.
func TestPublishedPortFromOutside(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			seenFrom(t, harness.Reaches(t, e.LAN1, f.Host, 8080, "c1"), f.LAN1)
			seenFrom(t, harness.Reaches(t, e.WAN, f.Host, 8080, "c1"), f.WAN)
			// The container's own port is not the host's.
			harness.Misses(t, e.LAN1, f.Host, 80)
		})
	})
}

// The host reaches a port that is published on all addresses by 127.0.0.1, by
// ::1 and by its own addresses.
func TestPublishedPortFromHost(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Reaches(t, e.Host, f.Host, 8080, "c1")
			harness.Reaches(t, e.Host, c1.Gateway("a", f), 8080, "c1")
			harness.Reaches(t, e.Host, f.Loopback, 8080, "c1")
		})
	})
}

// NAT-27: sockets of the host reach a container without IPv6 by ::1 too.
func TestPublishedPortAcrossFamilies(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Must(t, "network", "create", "--subnet", harness.Subnet4(numA), "a")
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		harness.Reaches(t, e.Host, "127.0.0.1", 8080, "c1")
		harness.Reaches(t, e.Host, "::1", 8080, "c1")
		harness.Misses(t, e.LAN1, harness.HostIP6, 8080)
		only6 := harness.Socket(func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1) })
		_, err := harness.GetTCP(e.Host, "[::1]:8080", only6)
		e.Expect(t, "NAT-27", "a socket that is only for IPv6 is refused", err == nil)
	})
}

// A port published on one address is published on no other. NAT-25.
func TestPublishedOnOneAddress(t *testing.T) {
	prepare := func(t testing.TB, w *harness.Topology) {
		w.Host.IP(t, "addr add 192.0.2.2/24 dev eth0", "addr add 2001:db8::2/64 dev eth0 nodad")
	}
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "192.0.2.1:7070:70", "-p", "192.0.2.1:7070:70/udp",
			"-p", "[2001:db8::1]:7070:70", "-p", "[2001:db8::1]:7070:70/udp")
		c2 := e.Sandbox(t, "c2", "--network", "a", "-p", "192.0.2.2:7070:70", "-p", "192.0.2.2:7070:70/udp",
			"-p", "[2001:db8::2]:7070:70", "-p", "[2001:db8::2]:7070:70/udp")
		serve(t, c1.Netns, 70, "c1")
		serve(t, c2.Netns, 70, "c2")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			second := map[int]string{4: "192.0.2.2", 6: "2001:db8::2"}[f.V]
			for _, from := range []*harness.Netns{e.LAN1, e.Host} {
				harness.Reaches(t, from, f.Host, 7070, "c1")
				harness.Reaches(t, from, second, 7070, "c2")
			}
			harness.Misses(t, e.Host, f.Loopback, 7070)
		})
	}, harness.Prepare(prepare))
}

// NAT-25: of a port that is published on all addresses and on one, the one wins
// where it applies.
func TestPublishedOnAllAndOnOne(t *testing.T) {
	prepare := func(t testing.TB, w *harness.Topology) {
		w.Host.IP(t, "addr add 192.0.2.2/24 dev eth0")
	}
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "0.0.0.0:7070:70")
		c2 := e.Sandbox(t, "c2", "--network", "a", "-p", "192.0.2.2:7070:70")
		harness.ServeTCP(t, c1.Netns, 70, "c1")
		harness.ServeTCP(t, c2.Netns, 70, "c2")
		for _, from := range []*harness.Netns{e.LAN1, e.Host} {
			for addr, tag := range map[string]string{harness.HostIP4: "c1", "192.0.2.2": "c2"} {
				if r, err := harness.GetTCP(from, at(addr, 7070)); err != nil || r.Tag != tag {
					t.Errorf("%s → %s: answered by %q (%v), want %s", from.Name, addr, r.Tag, err, tag)
				}
			}
		}
	}, harness.Prepare(prepare))
}

// A port published on loopback is the host's alone. SEC-03 has the rest.
func TestPublishedOnLoopback(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "127.0.0.1:9090:90", "-p", "127.0.0.1:9090:90/udp")
		serve(t, c1.Netns, 90, "c1")
		harness.Reaches(t, e.Host, "127.0.0.1", 9090, "c1")
		harness.Misses(t, e.LAN1, harness.HostIP4, 9090)
		harness.Misses(t, e.Host, harness.HostIP4, 9090)
	})
}

// NAT-26: each port of a range leads to the port at the same place.
func TestPublishedRange(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "20000-20099:9000-9099")
		for _, i := range []int{0, 1, 42, 98, 99} {
			harness.ServeTCP(t, c1.Netns, 9000+i, fmt.Sprint("port-", 9000+i))
		}
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			for _, i := range []int{0, 1, 42, 98, 99} {
				r, err := harness.GetTCP(e.LAN1, at(f.Host, 20000+i))
				if err != nil || r.Tag != fmt.Sprint("port-", 9000+i) {
					t.Errorf("port %d leads to %q (%v)", 20000+i, r.Tag, err)
				}
			}
		})
	})
}

// A socket of the host keeps a published port from other programs, and nothing
// accepts connections there on the container's behalf.
func TestPublishedPortIsReserved(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		for _, c := range []string{"TCP-LISTEN:8080", "TCP6-LISTEN:8080", "UDP-RECV:8080", "UDP6-RECV:8080"} {
			if out, err := e.Host.Output("timeout", "5", "socat", "-u", c, "/dev/null"); err == nil || !inUse(out) {
				t.Errorf("socat %s: %q, %v; want an address in use", c, out, err)
			}
		}
		// No server in the container: its own stack refuses.
		if _, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080)); harness.Classify(err) != harness.Reset {
			t.Errorf("published port without a server: %v, want a reset", err)
		}
	})
}

// NAT-21: with the sandbox its publication goes, and the host answers itself.
func TestPortOfRemovedSandbox(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		serve(t, c1.Netns, 80, "c1")
		if _, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080)); err != nil {
			t.Fatal(err)
		}
		c1.Remove(t)
		serve(t, e.Host, 8080, "host")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Reaches(t, e.LAN1, f.Host, 8080, "host")
		})
	})
}
