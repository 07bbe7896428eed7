// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// wrap has the datapath run a shell script first wherever it runs a program.
func wrap(t *testing.T, program *string, script string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(*program))
	script = fmt.Sprintf("#!/bin/sh\n%s\nexec %s \"$@\"\n", script, *program)
	must(t, os.WriteFile(path, []byte(script), 0o755))
	*program = path
}

// failIPv6 has changes of IPv6 fail while the file that it returns is there.
func failIPv6(t *testing.T, d *Datapath) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "fail")
	must(t, os.WriteFile(file, nil, 0o644))
	wrap(t, &d.bins.Restore6, "[ ! -e "+file+" ] || exit 1")
	return file
}

// A change that fails in IPv6 is none in IPv4 either, and may be repeated.
func TestChangesBothFamiliesOrNone(t *testing.T) {
	for name, call := range map[string]func(*world, *Datapath, datapath.Desired) error{
		"ports": func(w *world, d *Datapath, want datapath.Desired) error {
			c := container{Endpoint: want.Endpoints[0]}
			return d.EnsurePorts(w.t.Context(), c.ID, append(want.Ports[c.ID], publish(c, 7070, 70, model.TCP)...))
		},
		"no ports": func(w *world, d *Datapath, want datapath.Desired) error {
			return d.EnsurePorts(w.t.Context(), want.Endpoints[0].ID, nil)
		},
		"network": func(w *world, d *Datapath, want datapath.Desired) error {
			n := want.Networks[0]
			n.ICC = false
			return d.EnsureNetwork(w.t.Context(), n)
		},
		"service": func(w *world, d *Datapath, want datapath.Desired) error {
			s := want.Services[0]
			s.Affinity = 0
			return d.EnsureService(w.t.Context(), setState(s, container{Endpoint: want.Endpoints[0]}, model.BackendDown))
		},
		"no service": func(w *world, d *Datapath, want datapath.Desired) error {
			return d.DeleteService(w.t.Context(), want.Services[0].ID)
		},
		"endpoint gone": func(w *world, d *Datapath, want datapath.Desired) error {
			return d.DeleteEndpoint(w.t.Context(), want.Endpoints[0].ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			forVariants(t, func(t *testing.T, w *world) {
				want := fill(w)
				must(t, w.d.Prune(t.Context(), want))
				before := sorted(w.saveTables())
				failing := failIPv6(t, w.d)
				if err := call(w, w.d, want); err == nil {
					t.Fatal("succeeded without IPv6")
				}
				if diff := cmp.Diff(before, sorted(w.saveTables())); diff != "" {
					t.Errorf("tables after a change that failed (-before +after):\n%s", diff)
				}
				must(t, os.Remove(failing))
				must(t, call(w, w.d, want))
				after := sorted(w.saveTables())
				must(t, w.d.Prune(t.Context(), w.d.state.desired()))
				if diff := cmp.Diff(sorted(w.saveTables()), after); diff != "" {
					t.Errorf("tables after a repetition (-as wanted +after):\n%s", diff)
				}
			})
		})
	}
}

// Where it isn't known what a failed change has left, the next one finds out.
func TestRepeatsWhatWasHalfDone(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		c := w.container(w.network(1), 2)
		flag := filepath.Join(t.TempDir(), "flag")
		must(t, os.WriteFile(flag, nil, 0o644))
		bins := w.d.bins
		wrap(t, &w.d.bins.Restore6, fmt.Sprintf(`[ ! -e %s ] || { %s "$@"; exit 1; }`, flag, bins.Restore6))
		wrap(t, &w.d.bins.Save6, "[ ! -e "+flag+" ] || exit 1")
		ports := publish(c, 8080, 80, model.TCP)
		if err := w.d.EnsurePorts(t.Context(), c.ID, ports); err == nil {
			t.Fatal("succeeded without IPv6")
		}
		must(t, os.Remove(flag))
		must(t, w.d.EnsurePorts(t.Context(), c.ID, ports))
		after := sorted(w.saveTables())
		must(t, w.d.Prune(t.Context(), w.d.state.desired()))
		if diff := cmp.Diff(sorted(w.saveTables()), after); diff != "" {
			t.Errorf("tables after a repetition (-as wanted +after):\n%s", diff)
		}
	})
}

// What an earlier daemon left and a failed change wanted stays an earlier
// daemon's: it goes on working, and a repetition finds it.
func TestFailedChangeKeepsLeftovers(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		want := fill(w)
		next := w.open()
		for _, n := range want.Networks {
			must(t, next.EnsureNetwork(t.Context(), n))
		}
		e := want.Endpoints[0]
		must(t, next.EnsureEndpoint(t.Context(), e))
		before := withoutProxy(w.saveTables())
		failing := failIPv6(t, next)
		if err := next.EnsurePorts(t.Context(), e.ID, want.Ports[e.ID]); err == nil {
			t.Fatal("succeeded without IPv6")
		}
		if diff := cmp.Diff(sorted(before), sorted(withoutProxy(w.saveTables()))); diff != "" {
			t.Errorf("tables after a change that failed (-before +after):\n%s", diff)
		}
		must(t, os.Remove(failing))
		w.sayAgain(next, want)
		if diff := cmp.Diff(sorted(before), sorted(withoutProxy(w.saveTables()))); diff != "" {
			t.Errorf("tables after all was said (-before +after):\n%s", diff)
		}
	})
}

// A caller that goes away between the families doesn't stop the change.
func TestCallerThatGoesAway(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		c := w.container(w.network(1), 2)
		dir := t.TempDir()
		flag, begun, goOn := filepath.Join(dir, "flag"), fifo(t, dir, "begun"), fifo(t, dir, "go-on")
		must(t, os.WriteFile(flag, nil, 0o644))
		wrap(t, &w.d.bins.Restore6, fmt.Sprintf("if rm %s 2>/dev/null; then echo >%s; read -r line <%s; fi", flag, begun.Name(), goOn.Name()))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			_, _ = begun.Read(make([]byte, 1)) // fails where the test has failed
			cancel()
			_, _ = goOn.WriteString("\n")
		}()
		must(t, w.d.EnsurePorts(ctx, c.ID, publish(c, 8080, 80, model.TCP)))
		must(t, w.d.EnsurePorts(t.Context(), c.ID, publish(c, 8080, 80, model.TCP)))
		tables := w.saveTables()
		for _, to := range []string{"10.9.1.2:80", "[fd00:9:1::2]:80"} {
			if n := strings.Count(tables, "-j DNAT --to-destination "+to+"\n"); n != 1 {
				t.Errorf("%d rules lead to %s, want 1:\n%s", n, to, tables)
			}
		}
		if err := w.d.EnsurePorts(ctx, c.ID, nil); err == nil {
			t.Error("EnsurePorts began for a caller that is gone")
		}
	})
}

// fifo makes a named pipe, open for both ends: neither opening nor writing waits.
func fifo(t *testing.T, dir, name string) *os.File {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, unix.Mkfifo(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}
