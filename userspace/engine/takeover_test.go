// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/store"
)

// A namespace that can't be opened just now isn't gone: what runs in it goes on, and is
// taken over once it can.
func TestNamespaceThatCannotBeOpened(t *testing.T) {
	w := newWorld(t)
	v := w.run(api.SandboxConfig{Name: "s"})
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
	eventually(t, "the sandbox to be taken over", func() bool { return len(w.health.sentences()) == 0 })
	if got := w.fake.endpoint(ep.ID).HostIndex; got != index {
		t.Errorf("endpoint has device %d, want %d as before", got, index)
	}
	must(t, w.Stop(ctx, "s", api.Stop{}))
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
func (w *world) runsDegraded(v api.SandboxView, want string) {
	w.t.Helper()
	if got := w.view(v.Name); got.State.Status != model.StatusRunning || len(got.Endpoints) != len(v.Endpoints) {
		w.t.Errorf("sandbox is %+v, want it running", got)
	}
	if v.State.Pid != 0 {
		if err := syscall.Kill(v.State.Pid, 0); err != nil {
			w.t.Errorf("process %d: %v, want it alive", v.State.Pid, err)
		}
	}
	if got := strings.Join(w.health.sentences(), "; "); !strings.Contains(got, "sandbox "+v.Name) || !strings.Contains(got, want) {
		w.t.Errorf("degraded: %q, want a sentence about %s with %q", got, v.Name, want)
	}
}

// The same of a namespace that was adopted, at a start and while the daemon runs.
func TestAdoptedNamespaceThatCannotBeOpened(t *testing.T) {
	w := newWorld(t)
	there, path := w.namespace("there"), filepath.Join(w.dir, "vm")
	must(t, os.Symlink(there, path))
	v, err := w.Add(ctx, api.Add{SandboxConfig: api.SandboxConfig{Name: "vm"}, Netns: path})
	must(t, err)
	well := func() bool { return len(w.health.sentences()) == 0 }
	for _, breaks := range []func(){
		func() { must(t, os.Remove(path)); loop(t, path) },
		func() { w.shut(); must(t, os.Remove(path)); loop(t, path); w.open() },
	} {
		breaks()
		w.wakeUp()
		eventually(t, "the status to tell", func() bool { return !well() })
		w.runsDegraded(v, syscall.ELOOP.Error())
		must(t, os.Remove(path))
		must(t, os.Symlink(there, path))
		eventually(t, "the sandbox to be taken over", well)
	}
	must(t, os.Remove(path))
	w.wakeUp()
	eventually(t, "the sandbox to have ended", func() bool { return w.view("vm").State.Status == model.StatusExited })
}

// A process that can't be looked at lives. It can be killed as soon as it is found.
func TestProcessThatCannotBeFound(t *testing.T) {
	w := newWorld(t)
	v := w.run(api.SandboxConfig{Name: "s"})
	broken := v.Sandbox
	// No process has it: pidfd_open fails with EINVAL.
	broken.State.Pid = -1
	w.shut()
	put(t, w, broken)
	w.open()
	w.runsDegraded(v, syscall.EINVAL.Error())
	if err := w.Stop(ctx, "s", api.Stop{}); err == nil {
		t.Error("stopped what isn't watched")
	}
	if err := w.Remove(ctx, "s", true); err == nil {
		t.Error("removed what isn't watched")
	}
	w.runsDegraded(v, syscall.EINVAL.Error())
	w.shut()
	put(t, w, v.Sandbox)
	w.open()
	must(t, w.Stop(ctx, "s", api.Stop{}))
	// As a child of the test's it is reaped by the watch of the first engine.
	eventually(t, "the process to be gone", func() bool { return syscall.Kill(v.State.Pid, 0) == syscall.ESRCH })
}

// put writes the sandboxes to the store of w, which is shut.
func put(t *testing.T, w *world, all ...model.Sandbox) {
	t.Helper()
	s, err := store.Open(w.store.Path())
	must(t, err)
	must(t, s.Update(func(tx *store.Tx) error {
		for _, sb := range all {
			if err := tx.PutSandbox(&sb); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, s.Close())
}
