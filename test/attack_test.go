// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/gopacket/gopacket/layers"
)

// A reset that an off-path attacker makes up, right in everything but the
// sequence number, ends neither the connection nor its flow.
func TestForgedReset(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80")
		harness.ServeTCP(t, c1.Netns, 80, "c1")
		e.EachFamily(t, func(t *testing.T, f harness.Family) {
			c, err := harness.DialTCP(e.LAN1, at(f.Host, 8080))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			eth := harness.Ethernet(harness.HardwareAddr(t, e.LAN2, "eth0"), harness.HardwareAddr(t, e.Host, "eth0"), f)
			for _, seq := range []uint32{0, 1 << 30, 2 << 30, 3 << 30} {
				harness.Inject(t, e.LAN2, "eth0", harness.Frame(t, eth, harness.IPHeader(f, f.LAN1, f.Host, layers.IPProtocolTCP),
					&layers.TCP{SrcPort: layers.TCPPort(c.Seen.Port()), DstPort: 8080, RST: true, Seq: seq}))
			}
			if err := c.Echo("after the forged resets"); err != nil {
				t.Error(err)
			}
			harness.Eventually(t, "the flow to be established", func() error {
				out := e.Must(t, "flow", "ls")
				for line := range strings.Lines(out) {
					if strings.Contains(line, fmt.Sprint(":", c.Seen.Port(), " ")) && strings.Contains(line, "ESTABLISHED") {
						return nil
					}
				}
				return fmt.Errorf("flows are %s", out)
			})
		})
	})
}

// ICM-08: redirects and queries that have gone out of use are not acted on.
func TestObsoleteICMP(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		serve(t, e.WAN, 80, "wan")
		f := harness.V4()
		c, err := harness.DialUDP(c1.Netns, at(f.WAN, 80), harness.From(":40020"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Exchange(8, harness.Patience); err != nil {
			t.Fatal(err)
		}
		inside := harness.Sniff(t, c1.Netns, "eth0", nil)
		before := e.Host.Must(t, "ip", "route", "show", "cache")
		quote := harness.Frame(t, harness.IPHeader(f, f.Host, f.WAN, layers.IPProtocolUDP), &layers.UDP{SrcPort: 40020, DstPort: 80})
		for _, head := range []string{"\x05\x01\x00\x00\xc0\x00\x02\x0b", "\x04\x00\x00\x00\x00\x00\x00\x00"} {
			harness.SendIP(t, e.LAN2, f, f.Host, int(layers.IPProtocolICMPv4), checksummed(head+string(quote)))
		}
		harness.SendIP(t, e.LAN2, f, f.Host, int(layers.IPProtocolICMPv4), checksummed("\x0d\x00\x00\x00\x12\x34\x00\x01"+strings.Repeat("\x00", 12)))
		if _, err := c.Exchange(8, harness.Patience); err != nil {
			t.Error(err)
		}
		if now := e.Host.Must(t, "ip", "route", "show", "cache"); strings.Contains(now, harness.LAN2IP4) {
			t.Errorf("routes are %s, were %s", now, before)
		}
		inside.Never(t, "redirect", func(p packet) bool {
			l, ok := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
			return ok && l.TypeCode.Type() == layers.ICMPv4TypeRedirect && harness.SrcIP(harness.LAN2IP4)(p)
		})
	})
}

// checksummed fills in the checksum of an ICMP message.
func checksummed(message string) string {
	b := []byte(message)
	sum := ^onesComplement(append(append([]byte(nil), b...), make([]byte, len(b)%2)...))
	b[2], b[3] = byte(sum>>8), byte(sum)
	return string(b)
}

// SEC-18: what a container sends to the groups of the link layer stays in its
// network.
func TestLinkLayerProtocolsStayInside(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		c1, _ := pair(t, e)
		outside := harness.Sniff(t, e.Switch, "host", nil)
		for dst, kind := range map[string]uint16{
			"01:80:c2:00:00:00": 0x0026, // STP, by its length
			"01:80:c2:00:00:0e": 0x88cc, // LLDP
			"01:80:c2:00:00:03": 0x888e, // EAPOL
			"ff:ff:ff:ff:ff:ff": 0x88b5, // an experiment
		} {
			group, err := net.ParseMAC(dst)
			if err != nil {
				t.Fatal(err)
			}
			frame := append(append(append([]byte{}, group...), c1.MAC(t, "a")...), byte(kind>>8), byte(kind))
			harness.Inject(t, c1.Netns, "eth0", append(frame, []byte("stays-in-the-network-"+strings.Repeat("x", 40))...))
		}
		if err := harness.Ping(c1.Netns, harness.LAN1IP4); err != nil {
			t.Fatal(err)
		}
		outside.Never(t, "frame of the container", harness.Contains("stays-in-the-network-"))
	})
}

// SEC-30: clients that open connections and say little keep nobody else out.
func TestSlowClients(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		for i := range 200 {
			c, err := net.Dial("unix", e.Daemon.Socket)
			if err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
			defer c.Close()
			fmt.Fprintf(c, "POST /v1/networks HTTP/1.1\r\nHost: fairway\r\nX-%d: ", i)
		}
		begin := time.Now()
		e.Must(t, "network", "ls")
		e.Network(t, "a", numA)
		if took := time.Since(begin); took > harness.Patience {
			t.Errorf("two requests took %v", took)
		}
	}, harness.OnlyMode(harness.EBPF))
}

// SEC-30: nobody but root sees the pins.
func TestPinsAreRootsAlone(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Sandbox(t, "c1", "--network", "a")
		pinned := 0
		err := filepath.WalkDir(e.Daemon.BPFFS, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			pinned++
			return err
		})
		if err != nil || pinned < 10 {
			t.Errorf("%d files are pinned: %v", pinned, err)
		}
		cmd := exec.Command("ls", e.Daemon.BPFFS)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("nobody lists %s", out)
		}
	}, harness.OnlyMode(harness.EBPF))
}
