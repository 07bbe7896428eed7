// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// Fairway's own default network leaves docker0 the subnet that everybody knows,
// whoever starts first.
func TestDefaultSubnets(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		d.Daemon.Start(t)
		var docs []struct {
			IPAM struct{ Config []struct{ Subnet string } }
		}
		d.JSON(t, &docs, "network", "inspect", "bridge")
		is(t, "Fairway's", docs[0].IPAM.Config[0].Subnet, "172.18.0.0/16")
		d.start()
		is(t, "Docker's", d.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge"), "172.17.0.0/16")
		d.importImage()
		d.serve("web", "-p", "7000:80")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
	})
}
