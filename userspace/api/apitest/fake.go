// SPDX-License-Identifier: Apache-2.0

// Package apitest has a Backend in memory for the tests of the API and of the
// CLI. It touches no kernel object, but the processes that it starts are real,
// so that standard files, signals and exit codes are tested for what they are.
package apitest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// Epoch is when everything in a Fake was made.
var Epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Fake is a Backend. What a test sets before use is answered as it is.
type Fake struct {
	mu        sync.Mutex
	networks  []request.NetworkView
	sandboxes []*entry
	services  []request.ServiceView
	counts    map[string]request.ServiceCounts
	processes sync.WaitGroup

	dockerPorts []api.DockerPort
	// dockerConfig is what is kept, nil for nothing.
	dockerConfig *[]byte
	// Root is the directory that the daemon's state would be in.
	Root string
	// dir holds the logs of sandboxes in the background.
	dir string

	CarriedIs      request.Carried
	FlowList       []request.FlowView
	FlowError      error
	CountsError    error
	StatusIs       request.Status
	Checks         []request.Check
	Removed        []string
	UninstallError error
	LastRun        request.Run
	LastAdd        request.Add
	LastStop       request.Stop
	LastCreate     request.NetworkCreate
	LastEdge       request.EndpointSettings
	LastService    request.ServiceCreate
	LastUpdate     request.ServiceUpdate
	LastDrain      request.ServiceDrain
	// Panic makes Doctor panic.
	Panic bool
}

type entry struct {
	view request.SandboxView
	proc *process
}

// NewFake returns a Fake with the predefined networks. The test's end waits for
// its processes.
func NewFake(t testing.TB) *Fake {
	f := &Fake{dir: t.TempDir(), Root: t.TempDir()}
	f.AddNetwork(model.Network{Name: "bridge", Driver: model.DriverBridge, Bridge: model.Bridge{Default: true}})
	f.AddNetwork(model.Network{Name: "host", Driver: model.DriverHost})
	f.AddNetwork(model.Network{Name: "none", Driver: model.DriverNull})
	t.Cleanup(func() {
		f.killAll()
		f.processes.Wait()
	})
	return f
}

// ID is the ID that a Fake gives to a name.
func ID(kind, name string) string {
	sum := sha256.Sum256([]byte(kind + " " + name))
	return hex.EncodeToString(sum[:])
}

// AddNetwork puts n into the fake, with its ID and time filled in.
func (f *Fake) AddNetwork(n model.Network) model.Network {
	f.mu.Lock()
	defer f.mu.Unlock()
	n.ID, n.Created = ID("network", n.Name), Epoch
	f.networks = append(f.networks, request.NetworkView{Network: n})
	return n
}

// AddSandbox puts v into the fake, with its ID and time filled in.
func (f *Fake) AddSandbox(v request.SandboxView) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v.ID, v.Created = ID("sandbox", v.Name), Epoch
	f.sandboxes = append(f.sandboxes, &entry{view: v})
	for _, e := range v.Endpoints {
		for i := range f.networks {
			if f.networks[i].Name == e.NetworkName {
				e.SandboxID = v.ID
				f.networks[i].Endpoints = append(f.networks[i].Endpoints, request.NetworkEndpoint{Endpoint: e.Endpoint, SandboxName: v.Name})
			}
		}
	}
}

// Flows implements api.Backend.
func (f *Fake) Flows(context.Context) iter.Seq2[request.FlowView, error] {
	return func(yield func(request.FlowView, error) bool) {
		for _, fl := range f.FlowList {
			if !yield(fl, nil) {
				return
			}
		}
		if f.FlowError != nil {
			yield(request.FlowView{}, f.FlowError)
		}
	}
}

// Carried implements api.Backend.
func (f *Fake) Carried(context.Context) (request.Carried, error) { return f.CarriedIs, nil }

// Status implements api.Backend.
func (f *Fake) Status(context.Context) (request.Status, error) { return f.StatusIs, nil }

// Doctor implements api.Backend.
func (f *Fake) Doctor(context.Context) ([]request.Check, error) {
	if f.Panic {
		panic("made by a test")
	}
	return f.Checks, nil
}

// Uninstall implements api.Backend.
func (f *Fake) Uninstall(_ context.Context, purge bool, removed func(string)) error {
	for _, line := range f.Removed {
		removed(line)
	}
	if purge {
		removed("state")
	}
	return f.UninstallError
}
