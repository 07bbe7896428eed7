// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"os"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"golang.org/x/sys/unix"
)

// REL-08: a sandbox's process dies; what belonged to it is free.
func TestSandboxDies(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		if err := unix.Kill(c1.State.Pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "c1 to be exited", func() error {
			if in := e.Inspect(t, "c1"); in.State.Running || in.State.ExitCode != 137 {
				return fmt.Errorf("state is %+v", in.State)
			}
			return nil
		})
		serve(t, e.Sandbox(t, "c2", "--network", "a", "-p", "8080:80").Netns, 80, "c2")
		if r, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080)); err != nil || r.Tag != "c2" {
			t.Errorf("port of the new sandbox: %+v, %v", r, err)
		}
	})
}

// REL-08: the uplink goes down and comes back.
func TestUplinkDownAndUp(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		e.Host.IP(t, "link set eth0 down")
		e.Host.IP(t, "link set eth0 up", "route add default via "+harness.RouterIP4,
			"addr replace "+harness.HostIP6+"/64 dev eth0 nodad", "route replace default via "+harness.RouterIP6)
		for _, f := range []harness.Family{harness.V4(), harness.V6()} {
			reachesSoon(t, c1.Netns, at(f.WAN, 80), "wan", f.Host)
			reachesSoon(t, e.LAN1, at(f.Host, 8080), "c1", f.LAN1)
		}
	})
}

// reachesSoon waits until both transports work and the server sees the source.
func reachesSoon(t *testing.T, from *harness.Netns, dst, tag, source string) {
	t.Helper()
	for name, probe := range harness.Probes() {
		harness.Eventually(t, fmt.Sprintf("%s %s → %s", name, from.Name, dst), func() error {
			r, err := probe(from, dst, harness.Within(harness.Silence))
			if err == nil && (r.Tag != tag || r.Seen.Addr().String() != source) {
				err = fmt.Errorf("answered by %s, which saw %s", r.Tag, r.Seen)
			}
			return err
		})
	}
}

// REL-08: the host's address changes; masquerading and published ports follow.
func TestHostAddressChanges(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		harness.Reaches(t, c1.Netns, harness.WANIP4, 80, "wan")
		back := func(t testing.TB, from4, to4, from6, to6 string) {
			e.Host.IP(t, "addr del "+from4+"/24 dev eth0", "addr del "+from6+"/64 dev eth0",
				"addr add "+to4+"/24 dev eth0", "addr add "+to6+"/64 dev eth0 nodad",
				"route replace default via "+harness.RouterIP4, "route replace default via "+harness.RouterIP6)
		}
		back(t, harness.HostIP4, "192.0.2.99", harness.HostIP6, "2001:db8::99")
		for f, addr := range map[harness.Family]string{harness.V4(): "192.0.2.99", harness.V6(): "2001:db8::99"} {
			reachesSoon(t, c1.Netns, at(f.WAN, 80), "wan", addr)
			reachesSoon(t, e.LAN1, at(addr, 8080), "c1", f.LAN1)
		}
		back(t, "192.0.2.99", harness.HostIP4, "2001:db8::99", harness.HostIP6)
	})
}

// REL-08: an uplink that appears later is one.
func TestUplinkAppears(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		side := harness.NewSide(t, e.Topology)
		defer side.Remove(t)
		serve(t, side.Netns, 80, "side")
		for f, addr := range map[harness.Family]string{harness.V4(): harness.SideIP4, harness.V6(): harness.SideIP6} {
			reachesSoon(t, c1.Netns, at(addr, 80), "side", side.HostAddr(f))
			reachesSoon(t, side.Netns, at(side.HostAddr(f), 8080), "c1", addr)
		}
	})
}

// REL-08: an adopted namespace is deleted under Fairway's hands.
func TestAdoptedNamespaceVanishes(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c2 := e.Sandbox(t, "c2", "--network", "a")
		name := e.ID + "-adopted"
		e.Host.Must(t, "ip", "netns", "add", name)
		e.Must(t, "sandbox", "add", "vm", "--netns", "/run/netns/"+name, "--network", "a", "-p", "8080:80")
		serve(t, e.Open(t, "vm").Netns, 80, "vm")
		harness.Reaches(t, c2.Netns, e.Inspect(t, "vm").NetworkSettings.Networks["a"].IPAddress, 80, "vm")
		e.Host.Must(t, "ip", "netns", "del", name)
		harness.Eventually(t, "vm to be exited", func() error {
			if in := e.Inspect(t, "vm"); in.State.Running {
				return fmt.Errorf("state is %+v", in.State)
			}
			return nil
		})
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		harness.ServeTCP(t, c1.Netns, 80, "c1")
		if r, err := harness.GetTCP(e.LAN1, at(harness.HostIP4, 8080)); err != nil || r.Tag != "c1" {
			t.Errorf("port of the new sandbox: %+v, %v", r, err)
		}
	})
}

// REL-09: after a reboot the state is there and the kernel knows nothing.
func TestReboot(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		e.Daemon.Kill(t)
		if err := unix.Kill(c1.State.Pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		harness.Forget(t, e, c1)
		e.Daemon.Start(t)
		if in := e.Inspect(t, "c1"); in.State.Running {
			t.Errorf("c1 is said to run: %+v", in.State)
		}
		c2 := e.Sandbox(t, "c2", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c2.Netns, 80, "c2")
		serve(t, e.WAN, 80, "wan")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Reaches(t, e.LAN1, f.Host, 8080, "c2")
			harness.Reaches(t, c2.Netns, f.WAN, 80, "wan")
		})
	})
}

// The pins go while everything else stays: what they held is made anew.
func TestPinsVanish(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		e.Daemon.Kill(t)
		if err := os.RemoveAll(e.Daemon.BPFFS); err != nil {
			t.Fatal(err)
		}
		e.Daemon.Start(t)
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			harness.Reaches(t, e.LAN1, f.Host, 8080, "c1")
			harness.Reaches(t, e.Host, f.Host, 8080, "c1")
			harness.Reaches(t, c1.Netns, f.WAN, 80, "wan")
		})
	}, harness.OnlyMode(harness.EBPF), harness.Restarts())
}
