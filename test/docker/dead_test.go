// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// With ip-forward off, as docker setup --no-forwarding has it, what starts while the
// daemon is dead is reached by nobody outside its network, and reaches nobody: not
// with addresses of its own either, which the harness looks for on the wire.
func TestStartedWhileDead(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		d.Host.Sysctl(t, "ipv4/ip_forward", "0")
		d.args = append(d.args, "--ip-forward=false")
		d.Daemon.Start(t)
		d.start()
		d.importImage()
		harness.ServeTCP(t, d.WAN, 80, "wan")
		d.docker("network", "create", "--subnet", "10.8.1.0/24", "known")
		d.serve("early", "--network", "known", "-p", "7000:80")
		d.LAN1.IP(t, "route add 10.8.0.0/16 via "+harness.HostIP4)
		d.Daemon.Kill(t)
		d.docker("network", "create", "--subnet", "10.8.2.0/24", "new")
		d.serve("late", "--network", "known", "-p", "7001:80")
		d.serve("fresh", "--network", "new", "-p", "7002:80")
		early, late, fresh := d.netns("early"), d.netns("late"), d.netns("fresh")
		for _, to := range []string{d.ip("late", "known") + ":80", d.ip("fresh", "new") + ":80", harness.HostIP4 + ":7001", harness.HostIP4 + ":7002"} {
			d.closed(d.LAN1, to)
		}
		d.closed(early, d.ip("fresh", "new")+":80")
		d.closed(late, d.ip("fresh", "new")+":80")
		d.closed(late, harness.WANIP4+":80")
		d.closed(fresh, d.ip("late", "known")+":80")
		d.closed(fresh, harness.WANIP4+":80")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "early")
		d.reaches(early, harness.WANIP4+":80", "wan")
		d.Daemon.Start(t)
		d.matches()
		is(t, "source outside", d.reaches(late, harness.WANIP4+":80", "wan"), harness.HostIP4)
		is(t, "source outside", d.reaches(fresh, harness.WANIP4+":80", "wan"), harness.HostIP4)
		d.reaches(d.LAN1, harness.HostIP4+":7001", "late")
		d.reaches(d.LAN1, harness.HostIP4+":7002", "fresh")
		d.reaches(early, d.ip("late", "known")+":80", "late")
		d.closed(fresh, d.ip("late", "known")+":80")
	})
}
