// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

// adopted is a world with a sandbox around somebody else's namespace.
func adopted(t *testing.T) (*world, request.SandboxView) {
	t.Helper()
	w := newWorld(t)
	path := w.namespace("vm")
	v, err := w.Add(ctx, request.Add{SandboxConfig: request.SandboxConfig{Name: "vm"}, Netns: path})
	must(t, err)
	return w, v
}

// bindOver makes path name the namespace that the test works in, as /proc/PID/ns/net
// may after a reboot, when the PID is a process of the host.
func bindOver(t *testing.T, path string) {
	t.Helper()
	must(t, netns.Delete(path))
	must(t, os.WriteFile(path, nil, 0o444))
	must(t, unix.Mount(ownNetns, path, "", unix.MS_BIND, ""))
}

// endedReplaced fails the test unless the sandbox has ended because of the namespace at
// its path, and the host got none of its interfaces and routes.
func (w *world) endedReplaced() {
	w.t.Helper()
	if s := w.view("vm").State; s.Status != model.StatusExited || !strings.Contains(s.Error, errReplaced.Error()) {
		w.t.Errorf("state %+v, want it exited: %v", s, errReplaced)
	}
	if l, err := netlink.LinkByName("eth0"); !errors.As(err, new(netlink.LinkNotFoundError)) {
		w.t.Errorf("the host has %v, %v, want no eth0", l, err)
	}
	routes, err := netlink.RouteList(nil, unix.AF_UNSPEC)
	must(w.t, err)
	for _, r := range routes {
		if r.Gw != nil {
			w.t.Errorf("the host has the route %s", r)
		}
	}
	w.stored()
}

func TestAdoptedPathNamesTheHost(t *testing.T) {
	for name, edit := range map[string]func(*model.Sandbox){
		"known by its cookie":        func(*model.Sandbox) {},
		"record of an older version": func(sb *model.Sandbox) { sb.NetnsCookie, sb.NetnsBoot = 0, "" },
	} {
		t.Run(name, func(t *testing.T) {
			w, v := adopted(t)
			edit(&v.Sandbox)
			w.shut()
			put(t, w, v.Sandbox)
			bindOver(t, v.Netns)
			w.open()
			w.endedReplaced()
		})
	}
}

func TestAdoptedPathNamesAnother(t *testing.T) {
	w, v := adopted(t)
	w.shut()
	must(t, netns.Delete(v.Netns))
	must(t, netns.Create(v.Netns))
	w.open()
	w.endedReplaced()
}

// The cookie of another boot says nothing. What made the namespace may have made another
// at the same path, or not yet; either way the user is told what to do.
func TestAdoptedBeforeReboot(t *testing.T) {
	for name, prepare := range map[string]func(path string){
		"another is there": func(string) {},
		"none is there":    func(path string) { must(t, netns.Delete(path)) },
	} {
		t.Run(name, func(t *testing.T) {
			w, v := adopted(t)
			v.NetnsBoot = "another"
			w.shut()
			put(t, w, v.Sandbox)
			prepare(v.Netns)
			w.open()
			if s := w.view("vm").State; s.Status != model.StatusExited || !strings.Contains(s.Error, "fairway rm vm") {
				t.Errorf("state %+v, want it exited, with what to do", s)
			}
			w.stored()
		})
	}
}

func TestAdoptedPathChangesHands(t *testing.T) {
	w, v := adopted(t)
	bindOver(t, v.Netns)
	w.wake.Raise()
	eventually(t, "the sandbox to have ended", func() bool { return w.view("vm").State.Status == model.StatusExited })
	w.endedReplaced()
}

// An older version didn't remember which namespace it had adopted; from now on it is known.
func TestAdoptedByAnOlderVersion(t *testing.T) {
	w, v := adopted(t)
	before, index := w.snapshot(), indexes(w, v)
	old := v.Sandbox
	old.NetnsCookie, old.NetnsBoot = 0, ""
	w.shut()
	put(t, w, old)
	forget(w.fake)
	w.open()
	w.unchanged(before)
	if now := w.view("vm"); now.NetnsCookie == 0 || now.NetnsCookie != v.NetnsCookie || now.NetnsBoot != v.NetnsBoot {
		t.Errorf("known as %d of boot %q, want %d of %q", now.NetnsCookie, now.NetnsBoot, v.NetnsCookie, v.NetnsBoot)
	}
	if diff := gocmp.Diff(index, indexes(w, v)); diff != "" {
		t.Errorf("devices of the endpoints (-before +after):\n%s", diff)
	}
}

// Who asked for the end may go away: nobody else would ask for the rest of it.
func TestAdoptedEndsWithoutItsClient(t *testing.T) {
	w, v := adopted(t)
	gone, leave := context.WithCancel(t.Context())
	leave()
	must(t, w.Stop(gone, v.ID, request.Stop{}))
	if _, there := w.fake.endpoints[v.Endpoints[0].ID]; there {
		t.Error("the datapath still has the endpoint")
	}
}

// A namespace that is a sandbox already is refused under any of its names, whoever made
// it, and by the next daemon too.
func TestNamespaceOfASandboxIsRefused(t *testing.T) {
	w, vm := adopted(t)
	w.network(request.NetworkCreate{Name: "n"})
	own := w.run(request.SandboxConfig{Name: "own", Networks: on("n")})
	other := w.namespace("other")
	refused := func(when string) {
		t.Helper()
		for _, v := range []request.SandboxView{vm, own} {
			alias := filepath.Join(shortDir(t), "alias")
			must(t, os.WriteFile(alias, nil, 0o444))
			must(t, unix.Mount(v.Netns, alias, "", unix.MS_BIND, ""))
			for _, path := range []string{v.Netns, alias} {
				_, err := w.Add(ctx, request.Add{SandboxConfig: request.SandboxConfig{Name: "again"}, Netns: path})
				if !errors.Is(err, request.ErrConflict) || !strings.Contains(err.Error(), "sandbox "+v.Name) {
					t.Errorf("%s: %s of %s: %v, want a conflict with it", when, path, v.Name, err)
				}
			}
			must(t, unix.Unmount(alias, unix.MNT_DETACH))
		}
	}
	refused("made by this daemon")
	w.restart()
	refused("made by an earlier one")
	_, err := w.Add(ctx, request.Add{SandboxConfig: request.SandboxConfig{Name: "another"}, Netns: other})
	must(t, err)
	must(t, w.Remove(ctx, "own", true))
	must(t, w.Remove(ctx, "vm", true))
	_, err = w.Add(ctx, request.Add{SandboxConfig: request.SandboxConfig{Name: "vm"}, Netns: vm.Netns})
	must(t, err)
}
