// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

func TestRestartAdoptsWhatIsRight(t *testing.T) {
	w := newWorld(t)
	w.network(request.NetworkCreate{Name: "n", EnableIPv6: true})
	v := w.run(request.SandboxConfig{Name: "s", Networks: on("n", "bridge"), Publish: []string{"18083:80", "81"}})
	before := w.snapshot()
	index := map[string]int{}
	for _, ep := range v.Endpoints {
		index[ep.ID] = w.fake.endpoint(ep.ID).HostIndex
	}
	forget(w.fake)
	w.restart()
	w.unchanged(before)
	for id, want := range index {
		if got := w.fake.endpoint(id).HostIndex; got != want {
			t.Errorf("endpoint %s: device %d, want %d as before", id, got, want)
		}
	}
	pruned := w.fake.pruned
	if pruned == nil || len(pruned.Networks) != 2 || len(pruned.Endpoints) != 2 || len(pruned.Resolvers) != 1 {
		t.Errorf("pruned down to %+v", pruned)
	}
	if sentences := w.Degraded(); len(sentences) > 0 {
		t.Errorf("degraded: %q", sentences)
	}
	// The process is watched again.
	must(t, w.Stop(ctx, "s", request.Stop{}))
	if got := w.view("s"); got.State.Status != model.StatusExited || got.State.ExitCode != nil {
		t.Errorf("state %+v, want exited with an unknown code", got.State)
	}
}

// forget makes the fake datapath one that was opened afresh.
func forget(f *fakeDatapath) {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.networks)
	clear(f.endpoints)
	clear(f.ports)
	clear(f.resolvers)
	clear(f.services)
	f.pruned = nil
}

func TestRestartFindsWhatEnded(t *testing.T) {
	w := newWorld(t)
	path := w.namespace("vm")
	_, err := w.Add(ctx, request.Add{SandboxConfig: request.SandboxConfig{Name: "vm"}, Netns: path})
	must(t, err)
	stays := w.run(request.SandboxConfig{Name: "stays", Publish: []string{"18084:80"}})
	_, p, err := w.Run(ctx, request.Run{Command: []string{"sleep", "1000"}, AutoRemove: true,
		SandboxConfig: request.SandboxConfig{Name: "temp"}}, nil)
	must(t, err)
	w.shut()
	must(t, netns.Delete(path))
	must(t, syscall.Kill(stays.State.Pid, syscall.SIGKILL))
	must(t, p.Signal(syscall.SIGKILL))
	waitProcess(t, p)
	// A process dies some time after the signal.
	eventually(t, "stays has ended", func() bool { return syscall.Kill(stays.State.Pid, 0) == syscall.ESRCH })
	w.open()
	if _, err := w.Sandbox(ctx, "temp"); err == nil {
		t.Error("temp is there, want it removed as --rm says")
	}
	for _, name := range []string{"vm", "stays"} {
		v := w.view(name)
		if v.State.Status != model.StatusExited || len(v.Endpoints) != 0 || len(v.Published) != 0 {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if w.ports.Len() != 0 || len(w.fake.content()["endpoints"]) != 0 {
		t.Errorf("%d ports, endpoints %v are left", w.ports.Len(), w.fake.content()["endpoints"])
	}
	w.stored()
}

// waitProcess waits for the end of a process without the engine that started it.
func waitProcess(t *testing.T, p request.Process) {
	t.Helper()
	<-p.(interface{ Done() <-chan struct{} }).Done()
}

func TestStartAfterReboot(t *testing.T) {
	w := newWorld(t)
	n := w.network(request.NetworkCreate{Name: "n"})
	v := w.run(request.SandboxConfig{Name: "s", Networks: on("n")})
	w.shut()
	// A reboot leaves the disk alone and nothing else.
	must(t, syscall.Kill(v.State.Pid, syscall.SIGKILL))
	reopen(t, w, n, v)
	forget(w.fake)
	w.open()
	if got := w.view("s").State.Status; got != model.StatusExited {
		t.Errorf("status %s, want exited", got)
	}
	if _, err := w.links.Find(n.Bridge.Name); err != nil {
		t.Errorf("bridge was not built again: %v", err)
	}
	if got := w.fake.content()["networks"]; !slices.Contains(got, n.ID) {
		t.Errorf("datapath has networks %v", got)
	}
	w.run(request.SandboxConfig{Name: "again", Networks: on("n")})
}

// reopen deletes the devices and namespaces of w, which is shut.
func reopen(t *testing.T, w *world, n model.Network, v request.SandboxView) {
	t.Helper()
	links := openLinks(t)
	defer links.Close()
	for _, ep := range v.Endpoints {
		must(t, links.Delete(ep.HostIf, ep.ID))
	}
	must(t, links.Delete(n.Bridge.Name, n.ID))
	must(t, netns.Delete(v.Netns))
}

func TestStartDiscardsHalfMadeSandboxes(t *testing.T) {
	w := newWorld(t)
	before := w.snapshot()
	// What is on disk and in the kernel when the daemon is killed in the middle
	// of a run.
	d, err := w.plan(request.SandboxConfig{Name: "half", Publish: []string{"18085:80"}})
	must(t, err)
	d.sb.Name = "half"
	var never undo
	all, err := w.reserve(d, &never)
	must(t, err)
	must(t, w.build(ctx, d.sb, all, &never))
	forget(w.fake)
	w.restart()
	w.unchanged(before)
}

func TestPruneRemovesLeftovers(t *testing.T) {
	w := newWorld(t)
	before := w.snapshot()
	v := w.run(request.SandboxConfig{Name: "s"})
	w.shut()
	// A disk that was put back to an earlier day knows nothing of the sandbox.
	must(t, syscall.Kill(v.State.Pid, syscall.SIGKILL))
	forgetSandbox(t, w, v)
	forget(w.fake)
	w.open()
	w.unchanged(before)
}

// An uninstall removes what a daemon made whose state is lost, too.
func TestSweepAfterALostState(t *testing.T) {
	w := newWorld(t)
	w.run(request.SandboxConfig{Name: "a"})
	pid := w.view("a").State.Pid
	before, err := w.links.Owned()
	must(t, err)
	w.shut()
	must(t, os.Remove(filepath.Join(w.dir, "root", "state.db")))
	w.sweep = true
	w.open()
	after, err := w.links.Owned()
	must(t, err)
	if len(before) == 0 || len(after) != 0 {
		t.Errorf("devices before %+v, after %+v, want none", before, after)
	}
	// With cgroups the process went along with what else was left.
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
}

func TestRetireOldDatapath(t *testing.T) {
	w := newWorld(t)
	w.network(request.NetworkCreate{Name: "n"})
	w.run(request.SandboxConfig{Name: "s", Networks: on("n")})
	old := newFake()
	w.fake.takeLog()
	must(t, w.Wanted.Retire(context.Background(), old))
	if log := old.takeLog(); !slices.Equal(log, []string{"resolver", "uninstall"}) {
		t.Errorf("old datapath was told %q", log)
	}
	must(t, w.Retired(context.Background()))
	got := w.fake.takeLog()
	slices.Sort(got)
	if diff := gocmp.Diff([]string{"host", "network bridge", "network n"}, got); diff != "" {
		t.Errorf("present datapath (-want +got):\n%s", diff)
	}
}
