// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"net"
	"strings"
	"testing"
)

// The tests of the suite mean something only where the world itself works.
func TestTopology(t *testing.T) {
	t.Parallel()
	w := NewTopology(t)
	for _, f := range []Family{v4(), v6()} {
		ServeTCP(t, w.WAN, 7000+f.V, "wan")
		for _, n := range []*Netns{w.LAN1, w.Host} {
			r, err := GetTCP(n, HostPort(f.WAN, map[int]string{4: "7004", 6: "7006"}[f.V]))
			if err != nil || r.Tag != "wan" {
				t.Errorf("%s → wan over IPv%d: %+v, %v", n.Name, f.V, r, err)
			}
		}
		if err := Ping(w.LAN2, f.Host); err != nil {
			t.Error(err)
		}
	}
	Misses(t, w.LAN1, WANIP4, 9)
}

// What the world learned in a test is forgotten for the next one.
func TestWorldForgets(t *testing.T) {
	t.Parallel()
	w := NewTopology(t)
	const stranger = "02:00:5e:10:00:01"
	mac, err := net.ParseMAC(stranger)
	if err != nil {
		t.Fatal(err)
	}
	eth := Ethernet(mac, HardwareAddr(t, w.Host, "eth0"), v4())
	Inject(t, w.LAN1, "eth0", UDPFrame(t, v4(), eth, LAN1IP4, HostIP4, 1, 2, "x"))
	stations := func() bool { return strings.Contains(w.Switch.Must(t, "bridge", "fdb", "show"), stranger) }
	if !stations() {
		t.Error("the switch doesn't know who sent a frame")
	}
	for _, n := range w.all() {
		if err := n.Do(forgetNetwork); err != nil {
			t.Errorf("%s: %v", n.Name, err)
		}
	}
	if stations() {
		t.Error("the switch still knows it")
	}
	if err := Ping(w.LAN2, v4().Host); err != nil {
		t.Error(err)
	}
}

// A guard that sees nothing would make every test of masquerading pass.
func TestSnifferSeesWhatArrives(t *testing.T) {
	t.Parallel()
	w := NewTopology(t)
	s := Sniff(t, w.Switch, "host", privateSources())
	eth := Ethernet(HardwareAddr(t, w.Host, "eth0"), HardwareAddr(t, w.LAN1, "eth0"), v4())
	Inject(t, w.Host, "eth0",
		UDPFrame(t, v4(), eth, "192.0.2.1", LAN1IP4, 1, 2, "public"),
		UDPFrame(t, v4(), eth, "172.30.0.2", LAN1IP4, 1, 2, "private"))
	s.Wait(t, "private source", All(SrcIP("172.30.0.2"), UDPPorts(1, 2), Contains("private")))
	s.Never(t, "public source", Contains("public"))
}

// A connection to a peer that is gone says nothing more in the world of the next test.
func TestClosedConnectionsEnd(t *testing.T) {
	t.Parallel()
	w := NewTopology(t)
	ServeTCP(t, w.WAN, 7000, "wan")
	var open []*TCPConn
	for _, f := range []Family{v4(), v6()} {
		c, err := DialTCP(w.Host, HostPort(f.WAN, "7000"))
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	w.WAN.IP(t, "link set eth0 down")
	for _, c := range open {
		c.Close()
	}
	if left, err := w.Host.lingering(); err != nil || len(left) != len(open) {
		t.Errorf("sockets that wait for an acknowledgement: %q, %v", left, err)
	}
	if err := w.Host.endUnacknowledged(); err != nil {
		t.Error(err)
	}
}

func TestSnapshotComparesEqual(t *testing.T) {
	t.Parallel()
	w := NewTopology(t)
	before := takeSnapshot(t, w.Host)
	w.Host.Must(t, "iptables", "-w", "-A", "FORWARD", "-j", "ACCEPT")
	if after := takeSnapshot(t, w.Host); after["iptables-save"] == before["iptables-save"] {
		t.Error("a rule more isn't seen")
	}
	w.Host.Must(t, "iptables", "-w", "-F", "FORWARD")
	before.compare(t, takeSnapshot(t, w.Host))
}
