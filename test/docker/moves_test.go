// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// leadsTo demands that a published port leads to this address of a container.
func (d *engine) leadsTo(port, tag, address string) {
	d.t.Helper()
	c := d.connect(harness.HostIP4 + ":" + port)
	defer c.Close()
	is(d.t, "server at port "+port, c.Tag, tag)
	want := c.LocalAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort()
	harness.Eventually(d.t, fmt.Sprintf("port %s leads to %s", port, address), func() error {
		var flows []struct {
			Src    netip.AddrPort
			NATDst netip.AddrPort `json:"nat_dst"`
		}
		d.JSON(d.t, &flows, "flow", "ls", "-o", "json")
		for _, f := range flows {
			if f.Src == want && f.NATDst.Addr().String() == address {
				return nil
			}
		}
		return fmt.Errorf("not among %v", flows)
	})
}

// Ports lead to the network that Docker makes the gateway, in its order: not an
// internal one, two families before one, then by name.
func TestGatewayOrder(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.docker("network", "create", "--subnet", "10.70.0.0/24", "mmm")
		d.docker("network", "create", "zzz")
		d.docker("network", "create", "bbb")
		d.docker("network", "create", "--internal", "aaa")
		d.serve("web", "--network", "mmm", "-p", "7000:80")
		d.leadsTo("7000", "web", d.ip("web", "mmm"))
		for _, step := range []struct{ change, network, gateway string }{
			{"connect", "zzz", "mmm"}, {"connect", "aaa", "mmm"}, {"connect", "bbb", "bbb"},
			{"disconnect", "mmm", "bbb"}, {"disconnect", "bbb", "zzz"}, {"connect", "mmm", "mmm"},
		} {
			d.docker("network", step.change, step.network, "web")
			d.leadsTo("7000", "web", d.ip("web", step.gateway))
		}
		d.docker("network", "disconnect", "-f", "mmm", "web")
		d.leadsTo("7000", "web", d.ip("web", "zzz"))
		d.docker("network", "disconnect", "-f", "zzz", "web")
		// Engine 20.10 starts proxies for the internal network, which is all that is left.
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.closed(d.LAN1, "["+harness.HostIP6+"]:7000")
		d.docker("network", "connect", "--ip", "10.70.0.200", "mmm", "web")
		is(t, "address asked for", d.ip("web", "mmm"), "10.70.0.200")
		d.leadsTo("7000", "web", "10.70.0.200")
		d.reaches(d.LAN1, "["+harness.HostIP6+"]:7000", "web")
		d.docker("network", "disconnect", "aaa", "web")
		d.matches()
	})
}

// Containers that come and go on the same port, one after the other, each reached
// by whoever asks first.
func TestRunAndRemove(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		for i := range 6 {
			name := fmt.Sprintf("c%d", i)
			d.docker("run", "-d", "--rm", "--name", name, "-p", "7000:80", "-p", "7001:80/udp", image, "/peer", "serve", "80", name)
			d.carries("tcp 0.0.0.0:7000", "udp 0.0.0.0:7001")
			d.ready(name)
			d.answersAtOnce(harness.HostIP4+":7000", name)
			u, err := harness.GetUDP(d.LAN1, harness.HostIP4+":7001", harness.Within(harness.Patience))
			if err != nil || u.Tag != name {
				t.Errorf("%s over UDP: %+v, %v", name, u, err)
			}
			d.docker("kill", name)
			harness.Eventually(t, name+" is removed", func() error {
				if out := d.docker("ps", "-aq"); out != "" {
					return fmt.Errorf("%q are left", out)
				}
				return nil
			})
		}
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.matches()
	})
}

// A paused container keeps its port and its connections, and answers when it goes on.
func TestPause(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		d.serve("web", "-p", "7000:80")
		inside := d.connect(harness.HostIP4 + ":7000")
		inside.echoes("before")
		d.docker("pause", "web")
		d.Daemon.Kill(t)
		d.Daemon.Start(t)
		// The kernel may take the connection, but nobody answers.
		if c, err := harness.ConnectTCP(d.LAN1, harness.HostIP4+":7000", harness.Within(harness.Silence)); err == nil {
			_ = c.SetReadDeadline(time.Now().Add(harness.Silence))
			if n, _ := c.Read(make([]byte, 100)); n > 0 {
				t.Errorf("%d bytes of a container that is paused", n)
			}
			c.Close()
		}
		d.docker("unpause", "web")
		inside.echoes("after")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
	}, harness.AllowPrivate())
}
