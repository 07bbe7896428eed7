// SPDX-License-Identifier: Apache-2.0

package test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/fairway-project/fairway/test/harness"
)

// withXDP is eBPF mode alone: iptables has no counterpart.
func withXDP(mode string) []harness.Option {
	return []harness.Option{harness.OnlyMode(harness.EBPF), harness.DaemonArgs("--xdp", mode, "--metrics", harness.MetricsAddr)}
}

// completeSums has senders compute their checksums, as they are on a wire.
func completeSums(t *testing.T, n *harness.Netns) {
	t.Helper()
	n.Must(t, "ethtool", "-K", "eth0", "tx", "off")
}

// xdpRedirects are the packets that the XDP program forwarded.
func xdpRedirects(t *testing.T, e *harness.Env) uint64 {
	t.Helper()
	return uint64(e.Scrape(t).Sum("fairway_program_runs_total", `program="uplink_xdp"`, `verdict="redirect"`))
}

// converse sends n datagrams through one socket and wants all answers.
func converse(t *testing.T, from *harness.Netns, to string, n int) {
	t.Helper()
	c, err := harness.DialUDP(from, to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i := range n {
		if _, err := c.Exchange(1+i%1200, harness.Patience); err != nil {
			t.Fatalf("datagram %d to %s: %v", i, to, err)
		}
	}
}

// Established UDP flows from outside pass by XDP, their first packet and all
// others by tc; the daemon may die and come back meanwhile.
func TestXDPForwards(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		completeSums(t, e.LAN1)
		completeSums(t, e.WAN)
		const datagrams = 20
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			before := xdpRedirects(t, e)
			converse(t, e.LAN1, at(f.Host, 8080), datagrams)
			if got := xdpRedirects(t, e) - before; got < datagrams-2 || got > datagrams-1 {
				t.Errorf("inbound: %d of %d packets were forwarded by XDP", got, datagrams)
			}
			before = xdpRedirects(t, e)
			converse(t, c1.Netns, at(f.WAN, 80), datagrams)
			if got := xdpRedirects(t, e) - before; got < datagrams-1 || got > datagrams {
				t.Errorf("answers from outside: %d of %d packets were forwarded by XDP", got, datagrams)
			}
			harness.Reaches(t, e.LAN1, f.Host, 8080, "c1")
		})
		e.Daemon.Kill(t)
		converse(t, e.LAN1, at(harness.HostIP4, 8080), datagrams)
		e.Daemon.Start(t)
		converse(t, e.LAN1, at(harness.HostIP4, 8080), datagrams)
		refusesFrames(t, e, c1)
	}, withXDP("native")...)
}

// refusesFrames has a container turn off what XDP's frames need. It loses none of its
// datagrams but those of the moment, and gets frames again when it turns it on.
func refusesFrames(t *testing.T, e *harness.Env, c1 *harness.Sandbox) {
	t.Helper()
	c, err := harness.DialUDP(e.LAN1, at(harness.HostIP4, 8080))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange := func() error {
		_, err := c.Exchange(8, harness.Silence)
		return err
	}
	asFrames := func(what string) {
		t.Helper()
		harness.Eventually(t, what, func() error {
			before := xdpRedirects(t, e)
			if err := exchange(); err != nil {
				return err
			}
			if xdpRedirects(t, e) == before {
				return errors.New("the datagram was forwarded by tc")
			}
			return nil
		})
	}
	// The first datagram of a connection is no frame of XDP's: it would be answered before
	// the daemon has heard of the change.
	asFrames("frames to be sent")
	for _, gro := range []string{"off", "on"} {
		c1.Must(t, "ethtool", "-K", "eth0", "gro", gro)
		harness.Eventually(t, "an answer with GRO "+gro, exchange)
		converse(t, e.LAN1, at(harness.HostIP4, 8080), 20)
	}
	asFrames("frames to be sent again")
}

// Checksums that a veth leaves to be finished by nobody arrive right all the same.
func TestXDPPartialChecksums(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) { converse(t, e.LAN1, at(f.Host, 8080), 20) })
	}, withXDP("native")...)
}

// What must not come in is dropped by XDP, under either way of attaching it.
func TestXDPGuards(t *testing.T) {
	for _, mode := range []string{"native", "generic"} {
		t.Run(mode, func(t *testing.T) {
			harness.ForEach(t, func(t *testing.T, e *harness.Env) {
				e.Network(t, "a", numA)
				c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
				serve(t, c1.Netns, 80, "c1")
				routeTo(t, e.LAN1, numA)
				e.EachFamily(t, func(t *testing.T, f harness.Family) {
					before := e.Drops(t)
					harness.Misses(t, e.LAN1, c1.IP(t, "a", f), 80)
					e.Dropped(t, "direct_routing", before, 1)
					harness.Reaches(t, e.LAN1, f.Host, 8080, "c1")
				})
				if n := e.Scrape(t).Sum("fairway_program_runs_total", `program="uplink_xdp"`, `verdict="drop"`); n == 0 {
					t.Error("nothing was dropped by XDP")
				}
				if out := e.Must(t, "status"); !strings.Contains(out, "xdp "+mode) {
					t.Errorf("status doesn't say xdp %s:\n%s", mode, out)
				}
			}, withXDP(mode)...)
		})
	}
}

// Turned off, nothing of it stays; auto leaves devices alone whose driver can't, and
// native refuses them.
func TestXDPModes(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		if out := e.Host.Must(t, "ip", "-d", "link", "show", "eth0"); !strings.Contains(out, "prog/xdp") {
			t.Errorf("no program on the uplink:\n%s", out)
		}
		e.Daemon.Stop(t)
		e.Host.IP(t, "link add bare type bridge", "link set bare up")
		e.Daemon.Args = []string{"--xdp", "native", "--uplink", "eth0", "--uplink", "bare"}
		if err := e.Daemon.TryStart(); err == nil || !strings.Contains(e.Daemon.Log(), "uplink bare: xdp native") {
			t.Errorf("native on a bridge: %v, log:\n%s", err, e.Daemon.Log())
		}
		e.Daemon.Args = []string{"--xdp", "auto", "--uplink", "eth0", "--uplink", "bare"}
		e.Daemon.Start(t)
		if out := e.Must(t, "status"); !strings.Contains(out, "Uplink bare has no XDP program: its driver has no XDP.") {
			t.Errorf("status:\n%s", out)
		}
		e.Daemon.Stop(t)
		e.Host.IP(t, "link del bare")
		e.Daemon.Args = []string{"--xdp", "off"}
		e.Daemon.Start(t)
		if out := e.Host.Must(t, "ip", "-d", "link", "show", "eth0"); strings.Contains(out, "xdp") {
			t.Errorf("a program is left on the uplink:\n%s", out)
		}
	}, withXDP("auto")...)
}

// A program of others is left where it is, and said to be there.
func TestXDPOfOthers(t *testing.T) {
	const pass = 2
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		other := newCountingProgram(t, ebpf.XDP, pass)
		var l link.Link
		if err := e.Host.Do(func() error {
			eth0, err := net.InterfaceByName("eth0")
			if err != nil {
				return err
			}
			l, err = link.AttachXDP(link.XDPOptions{Interface: eth0.Index, Program: other.program})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		e.Daemon.Start(t)
		if out := e.Must(t, "status"); !strings.Contains(out, "Uplink eth0 has no XDP program: it runs another XDP program.") {
			t.Errorf("status:\n%s", out)
		}
		before := other.count(t)
		if err := harness.Ping(e.LAN1, harness.HostIP4); err != nil {
			t.Error(err)
		}
		if other.count(t) == before {
			t.Error("the other program is gone")
		}
	}, append(withXDP("native"), harness.NoDaemon())...)
}
