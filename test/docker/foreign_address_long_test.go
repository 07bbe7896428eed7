// SPDX-License-Identifier: Apache-2.0

//go:build long

package docker

import (
	"strings"
	"syscall"
	"testing"
)

// Why services of Docker's containers have no address of their own. An engine that is started
// again looks at its bridges' addresses: one of the scope that services have elsewhere it takes
// for the gateway's, and then it has lost the network; one of IPv6 it takes away.
func TestLongAddressOnDockersBridge(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		flows := d.startWithLiveRestore()
		d.docker("network", "create", "--subnet", "10.61.0.0/24", "--aux-address", "vip=10.61.0.9", "-o", "com.docker.network.bridge.name=brlink", "link")
		d.docker("network", "create", "--subnet", "10.62.0.0/24", "--aux-address", "vip=10.62.0.9", "--ipv6", "--subnet", "fd00:62::/64",
			"--aux-address", "vip6=fd00:62::9", "-o", "com.docker.network.bridge.name=brglobal", "global")
		add := func(device, addr string, options ...string) {
			d.Host.Must(t, "ip", append([]string{"addr", "add", addr, "dev", device, "noprefixroute"}, options...)...)
		}
		add("brlink", "10.61.0.9/32", "scope", "link")
		add("brglobal", "10.62.0.9/32")
		add("brglobal", "fd00:62::9/128", "nodad", "preferred_lft", "0")
		run := func(args ...string) error {
			_, err := d.try(append([]string{"run", "--rm"}, append(args, image, "/peer", "exit", "0")...)...)
			return err
		}
		d.end(syscall.SIGKILL)
		d.start()
		if err := run("--network", "link"); err == nil || !strings.Contains(err.Error(), "does not exist") {
			t.Errorf("a network with another address of link scope: %v; services could have addresses on Docker's bridges", err)
		}
		if err := run("--network", "global"); err != nil {
			t.Errorf("a network with another address of global scope: %v", err)
		}
		left := d.Host.Must(t, "ip", "-o", "addr", "show", "dev", "brglobal")
		if !strings.Contains(left, "10.62.0.9/32") || strings.Contains(left, "fd00:62::9/128") {
			t.Errorf("an engine that was started again leaves other addresses than it did:\n%s", left)
		}
		// What is reserved nobody gets, even who asks for it.
		if err := run("--network", "global", "--ip", "10.62.0.9"); err == nil {
			t.Error("a container got an address that is reserved")
		}
		flows.Stop(t)
		// The engine finds its network again now that the address is gone.
		d.end(syscall.SIGTERM)
		d.start()
		d.discard("stays")
		d.discardNetworks("link", "global")
	})
}
