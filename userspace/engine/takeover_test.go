// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/store"
)

// A namespace that can't be opened just now isn't gone: what runs in it goes on, and is
// taken over once it can.
func TestNamespaceThatCannotBeOpened(t *testing.T) {
	w := newWorld(t)
	v := w.run(request.SandboxConfig{Name: "s"})
	ep := v.Endpoints[0]
	index := w.fake.endpoint(ep.ID).HostIndex
	w.shut()
	must(t, netns.Delete(v.Netns))
	loop(t, v.Netns)
	forget(w.fake)
	w.open()
	w.runsDegraded(v, syscall.ELOOP.Error())
	must(t, os.Remove(v.Netns))
	must(t, os.WriteFile(v.Netns, nil, 0o444))
	must(t, unix.Mount(fmt.Sprintf("/proc/%d/ns/net", v.State.Pid), v.Netns, "", unix.MS_BIND, ""))
	eventually(t, "the sandbox to be taken over", w.well)
	if got := w.fake.endpoint(ep.ID).HostIndex; got != index {
		t.Errorf("endpoint has device %d, want %d as before", got, index)
	}
	must(t, w.Stop(ctx, "s", request.Stop{}))
	if got := w.view("s").State.Status; got != model.StatusExited {
		t.Errorf("status %s after the stop", got)
	}
}

// loop makes a path that leads nowhere, which opening fails for.
func loop(t *testing.T, path string) {
	t.Helper()
	must(t, os.Symlink(filepath.Base(path), path))
}

// runsDegraded fails the test unless the sandbox runs, as it did in v, and the status
// tells what is wrong with it.
func (w *world) runsDegraded(v request.SandboxView, want string) {
	w.t.Helper()
	if got := w.view(v.Name); got.State.Status != model.StatusRunning || len(got.Endpoints) != len(v.Endpoints) {
		w.t.Errorf("sandbox is %+v, want it running", got)
	}
	if v.State.Pid != 0 {
		if err := syscall.Kill(v.State.Pid, 0); err != nil {
			w.t.Errorf("process %d: %v, want it alive", v.State.Pid, err)
		}
	}
	if got := strings.Join(w.Degraded(), "; "); !strings.Contains(got, "sandbox "+v.Name) || !strings.Contains(got, want) {
		w.t.Errorf("degraded: %q, want a sentence about %s with %q", got, v.Name, want)
	}
}

// well reports whether all is as it should be.
func (w *world) well() bool { return len(w.Degraded()) == 0 }

// The same of a namespace that was adopted, at a start and while the daemon runs.
func TestAdoptedNamespaceThatCannotBeOpened(t *testing.T) {
	w := newWorld(t)
	there, path := w.namespace("there"), filepath.Join(w.dir, "vm")
	must(t, os.Symlink(there, path))
	v, err := w.Add(ctx, request.Add{SandboxConfig: request.SandboxConfig{Name: "vm"}, Netns: path})
	must(t, err)
	// In one step: a path that isn't there would be the sandbox's end.
	lead := func(to string) { must(t, os.Symlink(to, path+".new")); must(t, os.Rename(path+".new", path)) }
	for _, breaks := range []func(){
		func() { lead(path) },
		func() { w.shut(); lead(path); w.open() },
	} {
		breaks()
		w.wake.Raise()
		eventually(t, "the status to tell", func() bool { return !w.well() })
		w.runsDegraded(v, syscall.ELOOP.Error())
		lead(there)
		eventually(t, "the sandbox to be taken over", w.well)
	}
	must(t, os.Remove(path))
	w.wake.Raise()
	eventually(t, "the sandbox to have ended", func() bool { return w.view("vm").State.Status == model.StatusExited })
}

// A process that can't be looked at lives. It can be killed as soon as it is found.
func TestProcessThatCannotBeFound(t *testing.T) {
	w := newWorld(t)
	v := w.run(request.SandboxConfig{Name: "s"})
	broken := v.Sandbox
	// No process has it: pidfd_open fails with EINVAL.
	broken.State.Pid = -1
	w.shut()
	put(t, w, broken)
	w.open()
	w.runsDegraded(v, syscall.EINVAL.Error())
	if err := w.Stop(ctx, "s", request.Stop{}); err == nil {
		t.Error("stopped what isn't watched")
	}
	if err := w.Remove(ctx, "s", true); err == nil {
		t.Error("removed what isn't watched")
	}
	w.runsDegraded(v, syscall.EINVAL.Error())
	w.shut()
	put(t, w, v.Sandbox)
	w.open()
	must(t, w.Stop(ctx, "s", request.Stop{}))
	// As a child of the test's it is reaped by the watch of the first engine.
	eventually(t, "the process to be gone", func() bool { return syscall.Kill(v.State.Pid, 0) == syscall.ESRCH })
}

// put writes the sandboxes to the store of w, which is shut.
func put(t *testing.T, w *world, all ...model.Sandbox) {
	t.Helper()
	edit(t, w, func(tx *store.Tx) error {
		for _, sb := range all {
			if err := tx.PutSandbox(&sb); err != nil {
				return err
			}
		}
		return nil
	})
}

// edit changes the store of w, which is shut.
func edit(t *testing.T, w *world, f func(tx *store.Tx) error) {
	t.Helper()
	s, err := store.Open(w.store.Path())
	must(t, err)
	must(t, s.Update(f))
	must(t, s.Close())
}

// A network that the datapath refused at the start comes back with its endpoints once
// the datapath takes it, and no interface is made again.
func TestNetworkThatIsRefusedOnce(t *testing.T) {
	w := newWorld(t)
	w.network(request.NetworkCreate{Name: "n"})
	v := w.run(request.SandboxConfig{Name: "s", Networks: on("n", "bridge"), Publish: []string{"80"}})
	before, index := w.fake.content(), indexes(w, v)
	w.shut()
	forget(w.fake)
	w.fake.failNext(1)
	w.open()
	// What it says of that is gone when it was tried again, some milliseconds later.
	if !w.fake.failed() {
		t.Error("nothing was refused")
	}
	eventually(t, "the network to be tried again", w.well)
	if got := w.view(v.Name).State.Status; got != model.StatusRunning {
		t.Errorf("sandbox is %s", got)
	}
	if diff := gocmp.Diff(before, w.fake.content()); diff != "" {
		t.Errorf("datapath (-before +after):\n%s", diff)
	}
	if diff := gocmp.Diff(index, indexes(w, v)); diff != "" {
		t.Errorf("devices of the endpoints (-before +after):\n%s", diff)
	}
}

// indexes are the devices that the datapath has for the endpoints of v.
func indexes(w *world, v request.SandboxView) map[string]int {
	out := map[string]int{}
	for _, ep := range v.Endpoints {
		out[ep.ID] = w.fake.endpoint(ep.ID).HostIndex
	}
	return out
}

// While a network's bridge can't be had, its endpoints wait as they are.
func TestBridgeThatCannotBeHad(t *testing.T) {
	w := newWorld(t)
	n := w.network(request.NetworkCreate{Name: "n"})
	v := w.run(request.SandboxConfig{Name: "s", Networks: on("n")})
	index := indexes(w, v)
	w.shut()
	other := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: n.Bridge.Name}, PeerName: "peer"}
	rename(t, n.Bridge.Name, "other")
	must(t, netlink.LinkAdd(other))
	forget(w.fake)
	w.open()
	w.runsDegraded(v, "not a bridge")
	// Not tried again in between.
	unlock := w.locks.network(n.ID)
	must(t, netlink.LinkDel(other))
	rename(t, "other", n.Bridge.Name)
	unlock()
	eventually(t, "the network to be tried again", w.well)
	if diff := gocmp.Diff(index, indexes(w, v)); diff != "" {
		t.Errorf("devices of the endpoints (-before +after):\n%s", diff)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	l, err := netlink.LinkByName(from)
	must(t, err)
	must(t, netlink.LinkSetDown(l))
	must(t, netlink.LinkSetName(l, to))
}
