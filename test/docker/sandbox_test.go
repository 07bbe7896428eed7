// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"os"

	"github.com/fairway-project/fairway/test/harness"
)

// harnessPeer is the program that sandboxes and containers run.
func harnessPeer() string { return os.Getenv(harness.EnvPeer) }

// sandboxIP is the address of a sandbox of Fairway's own.
func (d *engine) sandboxIP(name string) string {
	d.t.Helper()
	var docs []struct {
		NetworkSettings struct {
			Networks map[string]struct{ IPAddress string }
		}
	}
	d.JSON(d.t, &docs, "inspect", name)
	for _, doc := range docs {
		for _, n := range doc.NetworkSettings.Networks {
			return n.IPAddress
		}
	}
	d.t.Fatalf("sandbox %s has no address", name)
	return ""
}
