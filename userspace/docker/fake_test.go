// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/link"
)

// fakeEngine answers as a Docker Engine does.
type fakeEngine struct {
	mu         sync.Mutex
	networks   map[string]client.Network
	containers []client.Container
	wanted     map[string]client.Wanted
	// locked containers aren't inspected before the engine is closed.
	locked map[string]bool
	// inspected counts inspections by container.
	inspected map[string]int
	// asked are the networks that were inspected, in this order; lists what lists of
	// containers were asked for: their IDs, none for all.
	asked []string
	lists [][]string
	// silent keeps every answer but the event stream back until it is closed.
	silent chan struct{}
	// kept counts the answers that are kept back, or were.
	kept int
	// broken answers all but the event stream with an error.
	broken bool
	// streams end when their channel is closed.
	streams []chan client.Event
	server  *http.Server
	socket  string
}

func newFakeEngine(t *testing.T) *fakeEngine {
	e := &fakeEngine{
		networks: make(map[string]client.Network), wanted: make(map[string]client.Wanted),
		locked: make(map[string]bool), inspected: make(map[string]int), socket: filepath.Join(t.TempDir(), "s"),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.41") })
	mux.HandleFunc("GET /v1.41/events", e.events)
	mux.HandleFunc("GET /v1.41/networks", func(w http.ResponseWriter, r *http.Request) {
		e.answer(w, r, func() any {
			list := []client.Network{}
			for _, n := range e.networks {
				n.Containers = nil
				list = append(list, n)
			}
			return list
		})
	})
	mux.HandleFunc("GET /v1.41/networks/{id}", func(w http.ResponseWriter, r *http.Request) {
		e.answer(w, r, func() any {
			e.asked = append(e.asked, r.PathValue("id"))
			if n, ok := e.networks[r.PathValue("id")]; ok {
				return n
			}
			return nil
		})
	})
	mux.HandleFunc("GET /v1.41/containers/json", func(w http.ResponseWriter, r *http.Request) {
		e.answer(w, r, func() any { return e.listed(r.URL.Query().Get("filters")) })
	})
	mux.HandleFunc("GET /v1.41/containers/{id}/json", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		e.mu.Lock()
		e.inspected[id]++
		locked := e.locked[id]
		e.mu.Unlock()
		if locked {
			<-r.Context().Done()
			return
		}
		e.answer(w, r, func() any { return e.wanted[id] })
	})
	e.server = &http.Server{Handler: mux}
	l, err := net.Listen("unix", e.socket)
	if err != nil {
		t.Fatal(err)
	}
	go e.server.Serve(l)
	t.Cleanup(func() { e.server.Close() })
	return e
}

// listed are the containers that a filter lets through; "" is none.
func (e *fakeEngine) listed(filter string) []client.Container {
	var by struct{ ID []string }
	if filter != "" {
		if err := json.Unmarshal([]byte(filter), &by); err != nil {
			return nil
		}
	}
	e.lists = append(e.lists, by.ID)
	list := []client.Container{}
	for _, c := range e.containers {
		if filter == "" || slices.Contains(by.ID, c.ID) {
			list = append(list, c)
		}
	}
	return list
}

func (e *fakeEngine) answer(w http.ResponseWriter, r *http.Request, what func() any) {
	e.mu.Lock()
	silent := e.silent
	if silent != nil {
		e.kept++
	}
	e.mu.Unlock()
	if silent != nil {
		select {
		case <-silent:
		case <-r.Context().Done():
			return
		}
	}
	e.mu.Lock()
	v := what()
	raw, err := json.Marshal(v)
	broken := e.broken
	e.mu.Unlock()
	if broken {
		http.Error(w, `{"message":"broken"}`, http.StatusInternalServerError)
		return
	}
	if v == nil || err != nil {
		http.Error(w, `{"message":"no such network"}`, http.StatusNotFound)
		return
	}
	_, _ = w.Write(raw)
}

func (e *fakeEngine) events(w http.ResponseWriter, r *http.Request) {
	stream := make(chan client.Event, 16)
	e.mu.Lock()
	e.streams = append(e.streams, stream)
	e.mu.Unlock()
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case ev, open := <-stream:
			if !open {
				return
			}
			_ = json.NewEncoder(w).Encode(ev)
			_ = http.NewResponseController(w).Flush()
		}
	}
}

// edit changes what the engine says, without any event.
func (e *fakeEngine) edit(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// tell sends an event about a network.
func (e *fakeEngine) tell(action, network string) {
	ev := client.Event{Type: "network", Action: action}
	ev.Actor.ID = network
	e.send(ev)
}

func (e *fakeEngine) send(ev client.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.streams {
		s <- ev
	}
}

// signal sends the event of a signal for a container c-ENDPOINT.
func (e *fakeEngine) signal(endpoint, signal, label, value string) {
	ev := client.Event{Type: "container", Action: "kill"}
	ev.Actor.ID = "c-" + endpoint
	ev.Actor.Attributes = map[string]string{"signal": signal, label: value}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.streams {
		s <- ev
	}
}

// disconnect ends all event streams.
func (e *fakeEngine) disconnect() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range e.streams {
		close(s)
	}
	e.streams = nil
}

// fakeDatapath remembers what it was told, and refuses what contradicts itself.
type fakeDatapath struct {
	datapath.Datapath
	mu        sync.Mutex
	networks  map[string]datapath.Network
	endpoints map[string]datapath.Endpoint
	ports     map[string][]datapath.Port
	guarded   map[string]bool
	services  map[string]datapath.Service
	sweeps    int
	// refused is the name of a network that can't be.
	refused string
}

func newFakeDatapath() *fakeDatapath {
	return &fakeDatapath{
		networks: make(map[string]datapath.Network), endpoints: make(map[string]datapath.Endpoint),
		ports: make(map[string][]datapath.Port), guarded: make(map[string]bool),
		services: make(map[string]datapath.Service),
	}
}

func (d *fakeDatapath) locked(f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return f()
}

func (d *fakeDatapath) EnsureNetwork(_ context.Context, n datapath.Network) error {
	return d.locked(func() error {
		if n.Name == d.refused {
			return errors.New("subnet is taken")
		}
		d.networks[n.ID] = n
		return nil
	})
}

func (d *fakeDatapath) DeleteNetwork(_ context.Context, id string) error {
	return d.locked(func() error { delete(d.networks, id); return nil })
}

func (d *fakeDatapath) EnsureEndpoint(_ context.Context, e datapath.Endpoint) error {
	return d.locked(func() error {
		for id, other := range d.endpoints {
			if id != e.ID && (other.HostIndex == e.HostIndex || other.IPv4 == e.IPv4) {
				return errors.New("conflict with endpoint " + id)
			}
		}
		d.endpoints[e.ID] = e
		return nil
	})
}

func (d *fakeDatapath) DeleteEndpoint(_ context.Context, id string) error {
	return d.locked(func() error { delete(d.endpoints, id); delete(d.ports, id); return nil })
}

func (d *fakeDatapath) EnsurePorts(_ context.Context, id string, ports []datapath.Port) error {
	return d.locked(func() error { d.ports[id] = ports; return nil })
}

func (d *fakeDatapath) EnsureService(_ context.Context, s datapath.Service) error {
	return d.locked(func() error {
		for _, p := range s.Pools {
			for _, b := range p.Backends {
				if _, is := d.endpoints[b.EndpointID]; !is {
					return errors.New("no endpoint " + b.EndpointID)
				}
			}
		}
		d.services[s.Name] = s
		return nil
	})
}

func (d *fakeDatapath) DeleteService(_ context.Context, id string) error {
	return d.locked(func() error {
		maps.DeleteFunc(d.services, func(_ string, s datapath.Service) bool { return s.ID == id })
		return nil
	})
}

func (*fakeDatapath) ServiceStats(context.Context, ...string) ([]datapath.ServiceStats, error) {
	return nil, nil
}

func (d *fakeDatapath) Guard(_ context.Context, device string, _ int) error {
	return d.locked(func() error { d.guarded[device] = true; return nil })
}

func (d *fakeDatapath) Prune(context.Context, datapath.Desired) error {
	return d.locked(func() error { d.sweeps++; return nil })
}

func (d *fakeDatapath) All() ([]link.Device, error) { return nil, nil }

func (d *fakeDatapath) Owned() ([]link.Device, error) { return nil, nil }

func (d *fakeDatapath) Delete(string, string) error { return nil }

// devices returns the device of every endpoint.
func (d *fakeDatapath) devices() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[string]string)
	for id, e := range d.endpoints {
		out[id] = e.HostIf
	}
	return out
}

func (d *fakeDatapath) portsNow() map[string][]datapath.Port {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.ports)
}
