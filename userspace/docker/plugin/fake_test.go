// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/store"
	"github.com/fairway-project/fairway/userspace/wanted"
)

// kernel plays the devices and the datapath, and checks the order of calls that
// package datapath demands.
type kernel struct {
	datapath.Datapath
	datapath.Guarding
	devices   map[string]link.Device
	networks  map[string]datapath.Network
	endpoints map[string]datapath.Endpoint
	ports     map[string][]datapath.Port
	fail      error
	// busy is why nothing of the datapath's can be removed.
	busy error
	// stuck is why no endpoint's device can be removed.
	stuck error
	// swept counts the calls of Prune.
	swept atomic.Int32
	next  int
	// patience is the State's.
	patience time.Duration
}

func newKernel() *kernel {
	return &kernel{
		devices: map[string]link.Device{}, networks: map[string]datapath.Network{},
		endpoints: map[string]datapath.Endpoint{}, ports: map[string][]datapath.Port{},
	}
}

func (k *kernel) add(name, owner string) link.Device {
	k.next++
	k.devices[name] = link.Device{Name: name, Index: k.next, Owner: owner}
	return k.devices[name]
}

func (k *kernel) Find(name string) (link.Device, error) {
	d, ok := k.devices[name]
	if !ok {
		return d, fmt.Errorf("device %s: %w", name, link.ErrNotFound)
	}
	return d, nil
}

func (k *kernel) EnsureBridge(b link.Bridge) (link.Device, error) {
	if d, ok := k.devices[b.Name]; ok {
		return d, nil
	}
	return k.add(b.Name, b.NetworkID), nil
}

func (k *kernel) DeleteBridge(name, _ string) error { delete(k.devices, name); return nil }

func (k *kernel) CreatePair(v link.Veth) (link.Device, error) {
	k.add(v.PeerName, "")
	return k.add(v.HostName, v.EndpointID), nil
}

func (k *kernel) DeleteVeth(host, _ string) error {
	if k.stuck == nil {
		delete(k.devices, host)
	}
	return k.stuck
}

func (k *kernel) SetUp(name string) error {
	for _, e := range k.endpoints {
		if e.HostIf == name {
			return nil
		}
	}
	return errors.New("set up before the datapath knew the endpoint")
}

func (k *kernel) EnsureNetwork(_ context.Context, n datapath.Network) error {
	if k.fail != nil {
		return k.fail
	}
	k.networks[n.ID] = n
	return nil
}

func (k *kernel) DeleteNetwork(_ context.Context, id string) error {
	if k.busy != nil {
		return k.busy
	}
	delete(k.networks, id)
	return nil
}

func (k *kernel) EnsureEndpoint(_ context.Context, e datapath.Endpoint) error {
	if k.fail != nil {
		return k.fail
	}
	if _, ok := k.networks[e.NetworkID]; !ok {
		return errors.New("endpoint of an unknown network")
	}
	k.endpoints[e.ID] = e
	return nil
}

func (k *kernel) DeleteEndpoint(_ context.Context, id string) error {
	if k.busy != nil {
		return k.busy
	}
	delete(k.endpoints, id)
	delete(k.ports, id)
	return nil
}

func (k *kernel) EnsurePorts(_ context.Context, id string, p []datapath.Port) error {
	if k.fail != nil {
		return k.fail
	}
	if _, ok := k.endpoints[id]; !ok {
		return errors.New("ports of an unknown endpoint")
	}
	if k.ports[id] = p; len(p) == 0 {
		delete(k.ports, id)
	}
	return nil
}

func (k *kernel) Prune(context.Context, datapath.Desired) error { k.swept.Add(1); return nil }

func (k *kernel) All() ([]link.Device, error) { return slices.Collect(maps.Values(k.devices)), nil }

func (k *kernel) Owned() (all []link.Device, err error) {
	for _, d := range k.devices {
		if d.Owner != "" {
			all = append(all, d)
		}
	}
	return all, nil
}

func (k *kernel) Delete(name, _ string) error { delete(k.devices, name); return nil }

// state is what a daemon on the kernel has before the driver.
func (k *kernel) state(t testing.TB) *wanted.State {
	s, err := wanted.New(wanted.Config{Datapath: k, Devices: k, Patience: k.patience, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// empty demands that nothing is left.
func (k *kernel) empty(t *testing.T) {
	t.Helper()
	for name, d := range k.devices {
		if d.Owner != "" {
			t.Errorf("device %s is left", name)
		}
	}
	if n := len(k.networks) + len(k.endpoints) + len(k.ports); n > 0 {
		t.Errorf("the datapath has %d things left", n)
	}
}

// stores are the open ones, by their directories: tests open a driver while an earlier
// one still has the store.
var stores sync.Map

func storeIn(t testing.TB, dir string) *store.Store {
	if s, ok := stores.Load(dir); ok {
		return s.(*store.Store)
	}
	s, err := store.Open(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	stores.Store(dir, s)
	t.Cleanup(func() {
		stores.Delete(dir)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// open starts a driver on the kernel with the store in dir.
func open(t testing.TB, k *kernel, dir string) *Driver {
	t.Helper()
	d, err := New(Config{
		Store: storeIn(t, dir), Dir: dir, Links: k, Wanted: k.state(t), Log: slog.New(slog.DiscardHandler),
		HostChanged: func(context.Context) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// post sends a request as Docker does: no content type.
func post(h http.Handler, path, body string) (int, string) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Accept", mediaType)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	out, _ := io.ReadAll(w.Result().Body)
	return w.Code, strings.TrimSpace(string(out))
}
