// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"os"
	"strings"
	"testing"
)

// Forget makes the kernel forget what a reboot would: the pins, the devices and
// rules of the host that weren't there before the daemon, and the sandboxes'
// namespaces. The daemon must be dead and the sandboxes' processes too.
func Forget(t testing.TB, e *Env, sandboxes ...*Sandbox) {
	t.Helper()
	_ = os.RemoveAll(e.Daemon.BPFFS)
	for _, s := range sandboxes {
		_ = unmount(s.Path)
		s.close()
	}
	for _, m := range mountsBelow(e.Daemon.RunDir) {
		_ = unmount(m)
	}
	if err := os.RemoveAll(e.Daemon.RunDir); err != nil {
		t.Fatal(err)
	}
	out := e.Host.Must(t, "ip", "-o", "link")
	for line := range strings.Lines(out) {
		name := strings.TrimSuffix(strings.SplitN(strings.Fields(line)[1], "@", 2)[0], ":")
		if name != "lo" && name != "eth0" {
			_, _ = e.Host.Output("ip", "link", "del", name)
		}
	}
	e.Host.Must(t, "nft", "flush", "ruleset")
	for _, dir := range e.cgroups() {
		_ = os.Remove(dir)
	}
}
