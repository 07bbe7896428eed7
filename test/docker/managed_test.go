// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// The network driver as a plugin that Docker runs itself: created from the recipe,
// enabled, used, restarted under traffic, uninstalled by its API, removed.
func TestManagedPlugin(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		d.start()
		d.importImage()
		pins := "/sys/fs/bpf/" + d.ID + "-managed"
		t.Cleanup(func() { _ = os.RemoveAll(pins) })
		dir := filepath.Join(d.Dir(t, "plugin"), "made")
		build := exec.Command("../../deploy/docker-plugin/build", os.Getenv(harness.EnvBinary), dir)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		const driver = "fairway:latest"
		d.docker("plugin", "create", "fairway", dir)
		d.docker("plugin", "set", "fairway", "args=--flow-table-size 8192 --bpffs "+pins)
		d.docker("plugin", "enable", "fairway")
		api := "/run/docker/plugins/" + d.docker("plugin", "inspect", "-f", "{{.Id}}", "fairway") + "/api/fairway.sock"
		fairway := func(args ...string) string {
			t.Helper()
			return d.Must(t, append([]string{"--socket", api}, args...)...)
		}
		d.docker("network", "create", "-d", driver, "one")
		d.serve("web", "--network", "one", "-p", "7000:80")
		d.serve("cat", "--network", "one")
		is(t, "source", d.reaches(d.LAN1, harness.HostIP4+":7000", "web"), harness.LAN1IP4)
		is(t, "source in the network", d.reaches(d.netns("cat"), d.ip("web", "one")+":80", "web"), d.ip("cat", "one"))
		d.reaches(d.Host, "127.0.0.1:7000", "web")
		d.closed(d.LAN1, d.ip("web", "one")+":80")
		if out := fairway("ports"); !strings.Contains(out, "0.0.0.0:7000") {
			t.Errorf("fairway ports:\n%s", out)
		}
		inside := d.connect(harness.HostIP4 + ":7000")
		d.docker("plugin", "disable", "-f", "fairway")
		inside.echoes("while the plugin is disabled")
		d.docker("plugin", "enable", "fairway")
		inside.echoes("after it is enabled again")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		d.discard("web", "cat")
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.discardNetworks("one")
		fairway("uninstall", "-f", "--purge")
		if _, err := os.Stat(pins); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s after the uninstall: %v", pins, err)
		}
		d.docker("plugin", "disable", "-f", "fairway")
		d.docker("plugin", "rm", "fairway")
	}, harness.AllowPrivate())
}
