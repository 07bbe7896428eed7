// SPDX-License-Identifier: Apache-2.0

//go:build long

package docker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// Swarm's networks are Docker's own work, as without Fairway: overlay peers and macvlan.
// What leaves them, and what comes to their published ports, passes docker_gwbridge or a
// bridge network, which are carried. The ingress mesh needs IPVS.
func TestLongSwarm(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		harness.ServeTCP(t, d.WAN, 80, "wan")
		d.docker("swarm", "init", "--advertise-addr", harness.HostIP4, "--listen-addr", harness.HostIP4+":2377")
		defer d.docker("swarm", "leave", "--force")
		d.docker("network", "create", "-d", "overlay", "--attachable", "over")
		defer d.discardNetworks("over")
		d.serve("one", "--network", "over", "-p", "7001:80")
		d.serve("two", "--network", "over")
		defer d.discard("one", "two")
		one := d.netns("one")
		is(t, "overlay peer sees", d.reaches(one, d.ip("two", "over")+":80", "two"), d.ip("one", "over"))
		is(t, "outside sees", d.reaches(one, harness.WANIP4+":80", "wan"), harness.HostIP4)
		is(t, "published port of an overlay's container sees", d.reaches(d.LAN1, harness.HostIP4+":7001", "one"), harness.LAN1IP4)
		d.reaches(d.Host, "127.0.0.1:7001", "one")
		d.hostModeService(t)
		d.onMacvlan(t)
		if out := d.Must(t, "status"); !strings.Contains(out, "eth0\n") || strings.Contains(out, "vxlan") {
			t.Errorf("uplinks:\n%s", out)
		}
	})
}

// hostModeService demands that a service's port in mode host is carried.
func (d *engine) hostModeService(t *testing.T) {
	t.Helper()
	d.docker("service", "create", "-d", "--name", "hosted", "--publish", "mode=host,published=7002,target=80", image, "/peer", "serve", "80", "hosted")
	defer d.docker("service", "rm", "hosted")
	harness.EventuallyWithin(t, d.limit, "the service runs", func() error {
		if out, err := d.try("service", "ls", "--format", "{{.Replicas}}"); err != nil || out != "1/1" {
			return fmt.Errorf("%s, %w", out, err)
		}
		return nil
	})
	is(t, "service in mode host sees", d.reaches(d.LAN1, harness.HostIP4+":7002", "hosted"), harness.LAN1IP4)
	d.reaches(d.Host, "127.0.0.1:7002", "hosted")
}

// onMacvlan demands that a container with an address of the LAN reaches it and is reached.
func (d *engine) onMacvlan(t *testing.T) {
	t.Helper()
	d.docker("network", "create", "-d", "macvlan", "--subnet", "192.0.2.0/24", "--gateway", harness.RouterIP4, "--ip-range", "192.0.2.64/28", "-o", "parent=eth0", "mac")
	defer d.discardNetworks("mac")
	d.serve("mac", "--network", "mac")
	defer d.discard("mac")
	is(t, "outside sees", d.reaches(d.netns("mac"), harness.WANIP4+":80", "wan"), d.ip("mac", "mac"))
	d.reaches(d.LAN1, d.ip("mac", "mac")+":80", "mac")
}
