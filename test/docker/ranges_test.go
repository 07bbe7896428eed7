// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// Ranges lead port by port, and a range in front of one port is a choice.
func TestPortRanges(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.docker("run", "-d", "--name", "many", "-p", "7000-7010:7000-7010", "-p", "7000-7010:7000-7010/udp", image, "/peer", "serve", "7003", "many")
		d.reaches(d.LAN1, harness.HostIP4+":7003", "many")
		if r, err := harness.GetUDP(d.LAN1, harness.HostIP4+":7003", harness.Within(harness.Patience)); err != nil || r.Tag != "many" {
			t.Errorf("UDP: %+v, %v", r, err)
		}
		d.closed(d.LAN1, harness.HostIP4+":7004")
		harness.ServeTCP(t, d.netns("many"), 7010, "last")
		d.reaches(d.LAN1, harness.HostIP4+":7010", "last")
		for i, name := range []string{"first", "second"} {
			d.serve(name, "-p", "7100-7110:80")
			want := fmt.Sprintf("0.0.0.0:%d", 7100+i)
			if got := d.docker("port", name, "80"); !strings.HasPrefix(got, want) {
				t.Errorf("%s: port %q, want %s", name, got, want)
			}
			d.reaches(d.LAN1, fmt.Sprintf("%s:%d", harness.HostIP4, 7100+i), name)
		}
		_, err := d.try("run", "-d", "--name", "third", "-p", "7100-7101:80", image, "/peer", "serve", "80", "third")
		if err == nil || !strings.Contains(err.Error(), "7100-7101") && !strings.Contains(err.Error(), "allocated") {
			t.Errorf("a range with nothing left: %v", err)
		}
	})
}

// Many ports start, are carried, and go. The time that the engine takes for them grows with
// the square of their number: a thousand are in the long tests.
func TestManyPorts(t *testing.T) { manyPorts(t, 250) }

func manyPorts(t *testing.T, ports int) {
	last := 20000 + ports - 1
	onDocker(t, func(t *testing.T, d *engine) {
		begin := time.Now()
		d.docker("run", "-d", "--name", "many", "-p", fmt.Sprintf("20000-%d:20000-%[1]d", last), image, "/peer", "serve", "20100", "many")
		t.Logf("%s: %d ports in %.1f s", d.docker("version", "-f", "{{.Server.Version}}"), ports, time.Since(begin).Seconds())
		d.reaches(d.LAN1, harness.HostIP4+":20100", "many")
		harness.ServeTCP(t, d.netns("many"), last, "last")
		d.reaches(d.LAN1, fmt.Sprint(harness.HostIP4, ":", last), "last")
		d.reaches(d.LAN1, "["+harness.HostIP6+"]:20100", "many")
		t.Logf("%d processes hold ports", len(harness.ProcessesByArgument("-container-port 20")))
		begin = time.Now()
		d.discard("many")
		t.Logf("gone in %.1f s", time.Since(begin).Seconds())
		d.closed(d.LAN1, harness.HostIP4+":20100")
		d.matches()
	})
}

// sctpInit is the beginning of an association from port 5000 to port 7050.
const sctpInit = "13881b8a000000000000000001000014deadbeef0000ffff0001000100000001"

// SCTP is published, shown and carried. Its checksum covers the ports, so that both
// have to have the same number.
func TestSCTP(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.serve("web", "-p", "7050:7050/sctp")
		if got := d.docker("port", "web", "7050/sctp"); !strings.HasPrefix(got, "0.0.0.0:7050") {
			t.Errorf("docker port: %q", got)
		}
		raw, err := hex.DecodeString(sctpInit)
		if err != nil {
			t.Fatal(err)
		}
		// This kernel may have no SCTP: what counts is where the packet comes out.
		in := harness.Sniff(t, d.netns("web"), "eth0", nil)
		const protocol = 132
		harness.SendIP(t, d.LAN1, harness.V4(), harness.HostIP4, protocol, string(raw))
		p := in.Wait(t, "the packet arrives", harness.All(harness.SrcIP(harness.LAN1IP4), harness.DstIP(d.ip("web", "bridge"))))
		if got := hex.EncodeToString(p.NetworkLayer().LayerPayload()); got != sctpInit {
			t.Errorf("the container gets %s, want %s", got, sctpInit)
		}
	})
}
