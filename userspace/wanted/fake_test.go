// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/driver/bridge"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/model"
)

// kernel plays the datapath and the devices: it takes what is said unless that is
// refused, and remembers what an earlier process left.
type kernel struct {
	datapath.Datapath
	mu sync.Mutex
	// said are the calls, in order.
	said []string
	// refused are the calls that fail.
	refused map[string]bool
	// left are the devices that something is left about, by index; owned are those of
	// Fairway's, others those of others.
	left   map[int]bool
	owned  []link.Device
	others []link.Device
	pruned []datapath.Desired
}

var errRefused = errors.New("no room")

func (k *kernel) call(format string, args ...any) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	what := fmt.Sprintf(format, args...)
	if k.refused[what] {
		return errRefused
	}
	k.said = append(k.said, what)
	return nil
}

// take returns the calls since the last time.
func (k *kernel) take() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	said := strings.Join(k.said, ", ")
	k.said = nil
	return said
}

func (k *kernel) refuse(calls ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refused = make(map[string]bool)
	for _, c := range calls {
		k.refused[c] = true
	}
}

func (k *kernel) EnsureNetwork(_ context.Context, n datapath.Network) error {
	return k.call("network %s", n.Name)
}
func (k *kernel) DeleteNetwork(_ context.Context, id string) error {
	return k.call("no network %s", id)
}

func (k *kernel) EnsureEndpoint(_ context.Context, e datapath.Endpoint) error {
	return k.call("endpoint %s on %d", e.ID, e.HostIndex)
}

func (k *kernel) DeleteEndpoint(_ context.Context, id string) error {
	return k.call("no endpoint %s", id)
}

func (k *kernel) EnsurePorts(_ context.Context, id string, ports []datapath.Port) error {
	var numbers []uint16
	for _, p := range ports {
		numbers = append(numbers, p.HostPort)
	}
	return k.call("ports of %s %v", id, numbers)
}

func (k *kernel) Guard(_ context.Context, device string, _ int) error {
	return k.call("guard %s", device)
}

func (k *kernel) Mode() datapath.Mode { return datapath.IPTables }

func (k *kernel) EnsureHost(context.Context, model.Host) error { return k.call("host") }

func (k *kernel) EnsureResolver(_ context.Context, r datapath.Resolver) error {
	return k.call("resolver %s", r.SandboxID)
}

func (k *kernel) Uninstall(context.Context) error { return k.call("uninstall") }

func (k *kernel) Prune(_ context.Context, want datapath.Desired) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pruned = append(k.pruned, want)
	for index := range k.left {
		if want.Spare == nil || !want.Spare(index) {
			delete(k.left, index)
		}
	}
	return nil
}

func (k *kernel) All() ([]link.Device, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Concat(k.owned, k.others), nil
}

func (k *kernel) Owned() ([]link.Device, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.owned), nil
}

func (k *kernel) Delete(name, _ string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owned = slices.DeleteFunc(k.owned, func(d link.Device) bool { return d.Name == name })
	return nil
}

// leftovers are the devices that something is left about, and those of Fairway's.
func (k *kernel) leftovers() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []string
	for index := range k.left {
		all = append(all, fmt.Sprint(index))
	}
	for _, d := range k.owned {
		all = append(all, d.Name)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func newState(t *testing.T, k *kernel, patience time.Duration) *State {
	t.Helper()
	s, err := New(Config{Datapath: k, Devices: k, Patience: patience, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// owner is one that ends with the test.
func owner(t *testing.T, s *State, name model.Owner, o Options) *Owner {
	own := s.Owner(name, o)
	t.Cleanup(own.Close)
	return own
}

func network(id, subnet string, index int) Network {
	n := Network{Network: model.Network{ID: id, Name: id, Driver: model.DriverBridge, Bridge: model.Bridge{Name: "br-" + id}}}
	n.IPv4 = &model.Subnet{Prefix: netip.MustParsePrefix(subnet)}
	if index != 0 {
		n.Told = bridge.Told(&n.Network, link.Device{Index: index})
	}
	return n
}

func endpoint(id, network string, index int) Endpoint {
	return Endpoint{Sandbox: "box-" + id, Network: network, Endpoint: datapath.Endpoint{ID: id, NetworkID: network, HostIndex: index}}
}

func ports(numbers ...uint16) (all []datapath.Port) {
	for _, n := range numbers {
		all = append(all, datapath.Port{PublishedPort: model.PublishedPort{HostPort: n}})
	}
	return all
}

func said(t *testing.T, k *kernel, what, want string) {
	t.Helper()
	if got := k.take(); got != want {
		t.Errorf("%s: said %q, want %q", what, got, want)
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
