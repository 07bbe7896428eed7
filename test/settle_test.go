// SPDX-License-Identifier: Apache-2.0

package test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// How programs are attached to a container's device changes some time after it was made.
// No request is lost meanwhile, and nothing is left in the end.
func TestSettling(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		e.Network(t, "a", numA)
		e.Network(t, "b", numB)
		c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
		c2 := e.Sandbox(t, "c2", "--network", "b")
		serve(t, c1.Netns, 80, "c1")
		serve(t, e.WAN, 80, "wan")
		all := func() {
			t.Helper()
			e.EachFamily(t, func(t *testing.T, f harness.Family) {
				harness.Reaches(t, e.LAN1, f.Host, 8080, "c1")
				harness.Reaches(t, c2.Netns, f.Host, 8080, "c1")
				harness.Reaches(t, c1.Netns, f.WAN, 80, "wan")
				harness.Reaches(t, e.Host, c1.IP(t, "a", f), 80, "c1")
			})
		}
		harness.Eventually(t, "all devices are settled", func() error {
			all()
			return settled(t, e)
		})
		all()
		e.Daemon.Kill(t)
		all()
		e.Daemon.Start(t)
		if err := settled(t, e); err != nil {
			t.Errorf("after a restart: %v", err)
		}
		all()
		e.EachFamily(t, func(t *testing.T, f harness.Family) { harness.Misses(t, c2.Netns, c1.IP(t, "a", f), 80) })
	}, harness.Own())
}

// settled reports which programs of containers are filters where the kernel has links.
func settled(t *testing.T, e *harness.Env) error {
	t.Helper()
	var s struct {
		Datapath datapath.Status
	}
	e.JSON(t, &s, "status", "-o", "json")
	links := slices.ContainsFunc(s.Datapath.Features, func(f datapath.Feature) bool { return f.Name == "tcx" && f.Available })
	for _, a := range s.Datapath.Attachments {
		if links && a.How == "clsact" {
			return fmt.Errorf("%s on %s is a filter", a.Program, a.Device)
		}
	}
	return nil
}
