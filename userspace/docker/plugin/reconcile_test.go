// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/docker/client"
)

var netB = strings.Repeat("b", 64)

// fakeDocker lists networks, once it answers at all.
func fakeDocker(t *testing.T, networks ...client.Network) (socket string, answer func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.41") })
	mux.HandleFunc("GET /v1.41/networks", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(networks) })
	mux.HandleFunc("GET /v1.41/networks/{id}", func(w http.ResponseWriter, r *http.Request) {
		i := slices.IndexFunc(networks, func(n client.Network) bool { return n.ID == r.PathValue("id") })
		if i < 0 {
			http.Error(w, `{"message":"no such network"}`, http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(networks[i])
	})
	return "unix://" + path, func() {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: mux}
		go server.Serve(l)
		t.Cleanup(func() { server.Close() })
	}
}

// again is a driver with the file of an earlier one.
func again(t *testing.T, dir string, k *kernel, docker string) *Driver {
	t.Helper()
	d, err := New(Config{
		Store: storeIn(t, dir), Dir: dir, Links: k, Wanted: k.state(t), Docker: docker, Log: slog.New(slog.DiscardHandler),
		HostChanged: func(context.Context) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *Driver) knows(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.records.Networks[id] != nil
}

func (d *Driver) carries(endpointID string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.records.Endpoints[endpointID] != nil
}

// containers are what an inspection lists, one for each endpoint.
func containers(endpoints ...string) map[string]client.Endpoint {
	all := make(map[string]client.Endpoint)
	for _, id := range endpoints {
		all["of "+id] = client.Endpoint{EndpointID: id}
	}
	return all
}

// joinAt makes another endpoint in a container.
func joinAt(t *testing.T, h http.Handler, ep, address string) {
	t.Helper()
	must(t, h, "CreateEndpoint", ref(ep, `,"Interface":{"Address":"`+address+`/24"}`))
	must(t, h, "Join", ref(ep, `,"SandboxKey":"/netns/`+ep+`"`))
}

func ask(t *testing.T, docker string) *client.Client {
	t.Helper()
	c, err := client.New(docker)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// What Docker has deleted or given up while the driver was away is removed when Docker
// answers, and not before. What it lists stays, and so does what is made meanwhile, which
// isn't listed before CreateNetwork has been answered.
func TestReconcile(t *testing.T) {
	dir, k := t.TempDir(), newKernel()
	other := strings.NewReplacer(netA, netB, "198.51.100.", "198.51.101.")
	first := again(t, dir, k, "")
	h := handler(first, slog.New(slog.DiscardHandler))
	joined(t, h, "")
	joinAt(t, h, ep3, "198.51.100.3")
	must(t, h, "CreateNetwork", other.Replace(networkBody("")))
	must(t, h, "CreateEndpoint", other.Replace(ref(ep2, `,"Interface":{"Address":"198.51.100.2/24"}`)))
	must(t, h, "Join", other.Replace(ref(ep2, `,"SandboxKey":"/netns/two"`)))

	docker, answer := fakeDocker(t, client.Network{ID: netA, Name: "kept", Containers: containers(ep1)})
	d := again(t, dir, k, docker)
	h = handler(d, slog.New(slog.DiscardHandler))
	netC := strings.Repeat("c", 64)
	third := strings.NewReplacer(netA, netC, "198.51.100.", "198.51.102.")
	must(t, h, "CreateNetwork", third.Replace(networkBody("")))
	if !d.knows(netA) || !d.knows(netB) || !d.carries(ep3) {
		t.Fatal("a network or an endpoint went before Docker answered")
	}
	answer()
	for deadline := time.Now().Add(time.Minute); d.knows(netB) || d.carries(ep3); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the network that Docker doesn't know stays, or the endpoint")
		}
	}
	if !d.knows(netA) || !d.knows(netC) || !d.carries(ep1) {
		t.Error("a network or an endpoint went that is Docker's")
	}
	if _, there := k.devices["br-"+netB[:12]]; there || len(k.endpoints) != 1 || len(k.networks) != 2 {
		t.Errorf("left: devices %v, endpoints %v, networks %v", k.devices, k.endpoints, k.networks)
	}
}

// An endpoint that Docker gave up while the driver was away goes, with its host port,
// which another container may want. One that is listed stays, one whose device is in
// a container, whatever Docker says, and one that came since.
func TestGivenUp(t *testing.T) {
	dir, k := t.TempDir(), newKernel()
	first := again(t, dir, k, "")
	h := handler(first, slog.New(slog.DiscardHandler))
	joined(t, h, "")
	program(t, h, `{"Proto":6,"Port":80,"HostIP":"127.0.0.1","HostPort":0}`)
	port := k.ports[ep1][0].HostPort
	joinAt(t, h, ep2, "198.51.100.3")
	joinAt(t, h, ep3, "198.51.100.4")
	delete(k.devices, first.records.Endpoints[ep3].IfName)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	d := again(t, dir, k, "")
	h = handler(d, slog.New(slog.DiscardHandler))
	left := d.joined()
	joinAt(t, h, ep4, "198.51.100.5")
	docker, answer := fakeDocker(t, client.Network{ID: netA, Containers: containers(ep2)})
	answer()
	if err := d.compare(t.Context(), ask(t, docker), left); err != nil {
		t.Fatal(err)
	}
	if d.carries(ep1) || k.endpoints[ep1].ID != "" {
		t.Error("the endpoint that Docker gave up stays")
	}
	for what, id := range map[string]string{"Docker lists": ep2, "is in a container": ep3, "came since": ep4} {
		if !d.carries(id) || k.endpoints[id].ID == "" {
			t.Errorf("an endpoint went that %s", what)
		}
	}
	must(t, h, "ProgramExternalConnectivity", ref(ep4,
		fmt.Sprintf(`,"Options":{"com.docker.network.portmap":[{"Proto":6,"Port":80,"HostIP":"127.0.0.1","HostPort":%d}]}`, port)))
}

// What can't be removed at first, or not be asked for, is left for another attempt,
// and told.
func TestReconcileTriesAgain(t *testing.T) {
	dir, k := t.TempDir(), newKernel()
	d := again(t, dir, k, "")
	h := handler(d, slog.New(slog.DiscardHandler))
	joined(t, h, "")
	must(t, h, "CreateNetwork", strings.NewReplacer(netA, netB, "198.51.100.", "198.51.101.").Replace(networkBody("")))
	left := d.joined()
	docker, answer := fakeDocker(t, client.Network{ID: netA})
	c := ask(t, docker)
	if err := d.compare(t.Context(), c, left); err == nil || len(left) != 2 {
		t.Errorf("nobody answers: %v, left %v", err, left)
	}
	answer()
	k.busy = errors.New("device is busy")
	if err := d.compare(t.Context(), c, left); !errors.Is(err, k.busy) || len(left) != 2 || len(d.Wanted.Degraded()) != 2 {
		t.Errorf("nothing can be removed: %v, left %v, degraded %q", err, left, d.Wanted.Degraded())
	}
	k.busy = nil
	if err := d.compare(t.Context(), c, left); err != nil || len(left) > 0 || len(d.Wanted.Degraded()) > 0 {
		t.Errorf("at last: %v, left %v, degraded %q", err, left, d.Wanted.Degraded())
	}
	if d.knows(netB) || d.carries(ep1) || len(k.endpoints) > 0 || len(k.networks) != 1 {
		t.Errorf("the datapath has endpoints %v, networks %v", k.endpoints, k.networks)
	}
}

// Names are Docker's where it answers, and the sandbox's ID elsewhere.
func TestCarried(t *testing.T) {
	docker, answer := fakeDocker(t, client.Network{
		ID: netA, Name: "front", Containers: map[string]client.Endpoint{"c0ffee": {Name: "web", EndpointID: ep1}},
	})
	d := again(t, t.TempDir(), newKernel(), docker)
	h := handler(d, slog.New(slog.DiscardHandler))
	joined(t, h, "")
	program(t, h, `{"Proto":6,"Port":80,"HostIP":"127.0.0.1","HostPort":0}`)
	for _, want := range []string{"one one " + netA[:12], "c0ffee web front"} {
		c := d.Carried(t.Context())
		if len(c.Networks) != 1 || len(c.Containers) != 1 {
			t.Fatalf("carried: %+v", c)
		}
		v := c.Containers[0]
		if got := strings.Join([]string{v.ID, v.Name, v.Endpoints[0].NetworkName}, " "); !strings.HasPrefix(got, want) {
			t.Errorf("names %q, want %q", got, want)
		}
		if len(v.Published) != 1 || v.Published[0].HostPort == 0 || v.Owner != "docker-plugin" {
			t.Errorf("container: %+v", v)
		}
		if want == "one one "+netA[:12] {
			answer()
		}
	}
}

// That something can't be removed is told until it is removed, or needn't be.
func TestRemovalIsToldUntilItIsOver(t *testing.T) {
	k := newKernel()
	d := again(t, t.TempDir(), k, "")
	joined(t, handler(d, slog.New(slog.DiscardHandler)), "")
	docker, answer := fakeDocker(t, client.Network{ID: netA, Name: "kept"})
	answer()
	c := ask(t, docker)
	if _, err := listed(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	try := func(what string, want int, remove func() error) {
		t.Helper()
		if err := remove(); (err != nil) != (want > 0) {
			t.Errorf("%s: %v", what, err)
		}
		if told := d.owner.Degraded(); len(told) != want {
			t.Errorf("%s: told %q, want %d", what, told, want)
		}
	}
	endpoint := func() error { return d.removeGivenUp(t.Context(), c, netA, []string{ep1}) }
	k.busy = errors.New("busy")
	try("endpoint that can't be removed", 1, endpoint)
	delete(k.devices, d.records.Endpoints[ep1].IfName)
	try("endpoint in a container after all", 0, endpoint)
	network := func() error { return d.removeUnknown(t.Context(), netA) }
	try("network that can't be removed", 1, network)
	k.busy = nil
	try("network that is removed", 0, network)
}
