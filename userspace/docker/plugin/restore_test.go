// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// former is a kernel with an endpoint that publishes a port, and the file of a driver
// that ended.
func former(t *testing.T) (k *kernel, dir string, port uint16) {
	t.Helper()
	k, dir = newKernel(), t.TempDir()
	d := open(t, k, dir)
	h := handler(d, slog.New(slog.DiscardHandler))
	joined(t, h, "")
	program(t, h, `{"Proto":6,"Port":80,"HostIP":"127.0.0.1","HostPort":0}`)
	port = k.ports[ep1][0].HostPort
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	after := newKernel()
	after.devices = k.devices
	return after, dir, port
}

// A host port that another program took while the driver was away is told, and holds
// nothing else up.
func TestPortTakenMeanwhile(t *testing.T) {
	k, dir, port := former(t)
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := open(t, k, dir)
	if s := d.Degraded(); len(s) != 1 || !strings.Contains(s[0], "not reserved") {
		t.Errorf("degraded: %q", s)
	}
	if len(k.ports[ep1]) != 1 || k.swept != 1 {
		t.Errorf("ports %v, swept %d times", k.ports, k.swept)
	}
}

// What the datapath refuses at first goes on with what an earlier daemon left: that is
// swept when the datapath has taken all.
func TestSweepWaits(t *testing.T) {
	k, dir, _ := former(t)
	k.fail = errors.New("no memory")
	d := open(t, k, dir)
	if s := d.Degraded(); len(s) != 2 || k.swept != 0 {
		t.Errorf("degraded %q, swept %d times", s, k.swept)
	}
	locked := func(f func()) { d.busy.Lock(); defer d.busy.Unlock(); f() }
	locked(func() { k.fail = nil })
	swept := 0
	for deadline := time.Now().Add(time.Minute); swept == 0; locked(func() { swept = k.swept }) {
		if time.Now().After(deadline) {
			t.Fatal("leftovers stay")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if s := d.Degraded(); len(s) > 0 || len(k.endpoints) != 1 || len(k.ports[ep1]) != 1 {
		t.Errorf("degraded %q, endpoints %v, ports %v", s, k.endpoints, k.ports)
	}
	d.background.Wait()
	if k.swept != 1 {
		t.Errorf("swept %d times", k.swept)
	}
}

// Where another one sweeps, what was refused is tried again all the same.
func TestRefusedIsTriedAgain(t *testing.T) {
	k, dir, _ := former(t)
	k.fail = errors.New("no memory")
	d := again(t, dir, k, "")
	locked := func(f func()) { d.busy.Lock(); defer d.busy.Unlock(); f() }
	locked(func() { k.fail = nil })
	d.background.Wait()
	locked(func() {
		if s := d.Degraded(); len(s) > 0 || len(k.endpoints) != 1 || k.swept != 0 {
			t.Errorf("degraded %q, endpoints %v, swept %d times", s, k.endpoints, k.swept)
		}
	})
}

// Not for ever: what is refused for good doesn't keep all the rest.
func TestSweepWaitsForNobodyLong(t *testing.T) {
	k, dir, _ := former(t)
	k.fail = errors.New("no memory")
	d := open(t, k, dir)
	d.busy.Lock()
	defer d.busy.Unlock()
	for _, c := range []struct {
		last  bool
		swept int
	}{{false, 0}, {true, 1}} {
		settled, err := d.settle(t.Context(), c.last)
		if settled != c.last || err != nil || k.swept != c.swept {
			t.Errorf("the last attempt %t: settled %t, %v, swept %d times", c.last, settled, err, k.swept)
		}
	}
}
