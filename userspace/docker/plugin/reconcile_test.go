// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"encoding/json"
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
		Dir: dir, Links: k, Datapath: k, Docker: docker, Log: slog.New(slog.DiscardHandler),
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
	return d.file.Networks[id] != nil
}

// What Docker has deleted while the driver was away is removed when Docker answers,
// and not before. What it lists stays, and so does what is made meanwhile, which
// isn't listed before CreateNetwork has been answered.
func TestReconcile(t *testing.T) {
	dir, k := t.TempDir(), newKernel()
	other := strings.NewReplacer(netA, netB, "198.51.100.", "198.51.101.")
	first := again(t, dir, k, "")
	h := handler(first, slog.New(slog.DiscardHandler))
	joined(t, h, "")
	must(t, h, "CreateNetwork", other.Replace(networkBody("")))
	must(t, h, "CreateEndpoint", other.Replace(ref(ep2, `,"Interface":{"Address":"198.51.100.2/24"}`)))
	must(t, h, "Join", other.Replace(ref(ep2, `,"SandboxKey":"/netns/two"`)))

	docker, answer := fakeDocker(t, client.Network{ID: netA, Name: "kept"})
	d := again(t, dir, k, docker)
	h = handler(d, slog.New(slog.DiscardHandler))
	netC := strings.Repeat("c", 64)
	third := strings.NewReplacer(netA, netC, "198.51.100.", "198.51.102.")
	must(t, h, "CreateNetwork", third.Replace(networkBody("")))
	if !d.knows(netA) || !d.knows(netB) {
		t.Fatal("a network went before Docker answered")
	}
	answer()
	for deadline := time.Now().Add(10 * time.Second); d.knows(netB); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the network that Docker doesn't know stays")
		}
	}
	if !d.knows(netA) || !d.knows(netC) {
		t.Error("a network went that is Docker's")
	}
	if _, there := k.devices["br-"+netB[:12]]; there || len(k.endpoints) != 1 || len(k.networks) != 2 {
		t.Errorf("left: devices %v, endpoints %v, networks %v", k.devices, k.endpoints, k.networks)
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
