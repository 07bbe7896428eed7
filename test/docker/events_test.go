// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"errors"
	"fmt"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// onBadWire runs fn where a badWire is between the daemon and the engine, with a
// container whose traffic must not stop.
func onBadWire(t *testing.T, fn func(t *testing.T, d *engine, w *badWire)) {
	t.Helper()
	onEngines(t, func(t *testing.T, d *engine) {
		w := d.between()
		d.Daemon.Start(t)
		d.start()
		d.importImage()
		d.serve("stays", "-p", "7000:80", "-p", "7000:80/udp")
		flows := d.steady(harness.HostIP4 + ":7000")
		fn(t, d, w)
		flows.Stop(t)
	})
}

// Whatever becomes of events, all that happens to containers is noticed.
func TestEvents(t *testing.T) {
	onBadWire(t, func(t *testing.T, d *engine, w *badWire) {
		for name, f := range map[string]fate{"lost": lost, "doubled": doubled, "reversed": reversed()} {
			w.suffers(f)
			d.everything(name)
			w.suffers(nil)
		}
		w.snap()
		d.everything("snapped")
	})
}

// everything does to containers and networks what can be done to them.
func (d *engine) everything(prefix string) {
	d.t.Helper()
	one, two, other := prefix+"-one", prefix+"-two", prefix+"-net"
	d.serve(one, "-p", "7001:80", "--restart", "always")
	d.reaches(d.LAN1, harness.HostIP4+":7001", one)
	d.docker("network", "create", other)
	d.docker("network", "connect", other, one)
	d.serve(two, "-p", "7002:80", "--network", other)
	d.reaches(d.LAN1, harness.HostIP4+":7002", two)
	d.matches()
	d.docker("rename", two, two+"2")
	d.docker("pause", two+"2")
	d.docker("unpause", two+"2")
	d.diesAndComesBack(one)
	d.reaches(d.LAN1, harness.HostIP4+":7001", one)
	d.docker("network", "disconnect", "bridge", one)
	d.docker("kill", two+"2")
	d.closed(d.LAN1, harness.HostIP4+":7002")
	d.reaches(d.LAN1, harness.HostIP4+":7001", one)
	d.matches()
	d.discard(one, two+"2")
	d.discardNetworks(other)
	d.matches()
}

// diesAndComesBack kills a container's process as a crash would, and waits for the
// next by its restart policy.
func (d *engine) diesAndComesBack(name string) {
	d.t.Helper()
	pid := func() string { return d.inspect(name, "{{.State.Running}} {{.State.Pid}}") }
	before := pid()
	var n int
	if _, err := fmt.Sscanf(before, "true %d", &n); err != nil {
		d.t.Fatalf("%s: %q", name, before)
	}
	d.Host.Must(d.t, "kill", "-9", fmt.Sprint(n))
	harness.Eventually(d.t, name+" comes back", func() error {
		if now := pid(); now == before || now == "true 0" || now[0] == 'f' {
			return errors.New(now)
		}
		return nil
	})
}

// While the engine answers nothing, what it does goes on, and an address that
// another container has got leads to nobody; afterwards, to that one.
func TestBlockedAnswers(t *testing.T) {
	onBadWire(t, func(t *testing.T, d *engine, w *badWire) {
		d.serve("old", "-p", "7001:80")
		d.reaches(d.LAN1, harness.HostIP4+":7001", "old")
		address := d.ip("old", "bridge")
		release := w.hold()
		defer release()
		w.suffers(lost)
		d.discard("old")
		d.closed(d.LAN1, harness.HostIP4+":7001")
		asked := w.questions()
		d.docker("run", "-d", "--name", "new", "-p", "7002:80", image, "/peer", "serve", "80", "new")
		is(t, "address used again", d.ip("new", "bridge"), address)
		harness.Eventually(t, "a question is kept waiting", func() error {
			if w.questions() == asked {
				return errors.New("none is")
			}
			return nil
		})
		d.closed(d.LAN1, harness.HostIP4+":7001")
		d.closed(d.LAN1, harness.HostIP4+":7002")
		d.closed(d.netns("stays"), address+":80")
		release()
		d.reaches(d.LAN1, harness.HostIP4+":7002", "new")
		d.closed(d.LAN1, harness.HostIP4+":7001")
		d.matches()
	})
}
