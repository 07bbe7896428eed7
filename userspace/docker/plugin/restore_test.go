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
	if s := d.Wanted.Degraded(); len(s) != 1 || !strings.Contains(s[0], "not reserved") {
		t.Errorf("degraded: %q", s)
	}
	if len(k.ports[ep1]) != 1 || k.swept.Load() != 1 {
		t.Errorf("ports %v, swept %d times", k.ports, k.swept.Load())
	}
}

// What the datapath refuses at first goes on with what an earlier daemon left: that is
// swept when the datapath has taken all.
func TestSweepWaits(t *testing.T) {
	k, dir, _ := former(t)
	k.fail = errors.New("no memory")
	d := open(t, k, dir)
	if s := d.Wanted.Degraded(); len(s) != 2 || k.swept.Load() != 0 {
		t.Errorf("degraded %q, swept %d times", s, k.swept.Load())
	}
	locked := func(f func()) { d.busy.Lock(); defer d.busy.Unlock(); f() }
	locked(func() { k.fail = nil })
	eventually(t, "leftovers go", func() bool { return k.swept.Load() > 0 })
	if s := d.Wanted.Degraded(); len(s) > 0 || len(k.endpoints) != 1 || len(k.ports[ep1]) != 1 {
		t.Errorf("degraded %q, endpoints %v, ports %v", s, k.endpoints, k.ports)
	}
	if n := k.swept.Load(); n != 1 {
		t.Errorf("swept %d times", n)
	}
}

// Not for ever: what is refused for good doesn't keep all the rest, and is tried again
// all the same.
func TestSweepWaitsForNobodyLong(t *testing.T) {
	k, dir, _ := former(t)
	k.fail, k.patience = errors.New("no memory"), time.Millisecond
	d := open(t, k, dir)
	eventually(t, "leftovers go", func() bool { return k.swept.Load() == 1 })
	if s := d.Wanted.Degraded(); len(s) != 2 {
		t.Errorf("degraded %q", s)
	}
	d.busy.Lock()
	k.fail = nil
	d.busy.Unlock()
	eventually(t, "all is well", func() bool { return len(d.Wanted.Degraded()) == 0 })
	d.busy.Lock()
	defer d.busy.Unlock()
	if len(k.endpoints) != 1 || len(k.ports[ep1]) != 1 {
		t.Errorf("endpoints %v, ports %v", k.endpoints, k.ports)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
