// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"sync"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/netns"
)

// facts are what the kernel chose for the things that the engine made: device
// indexes and the like. They are found again at start-up and never stored.
type facts struct {
	mu sync.Mutex
	// networks are the devices that stand for them.
	networks  map[string]link.Device
	hostIndex map[string]int
	// adopted are the namespaces of others that were found to be the right ones.
	adopted map[string]netns.ID
	host    datapath.Host
}

func newFacts() *facts {
	return &facts{networks: make(map[string]link.Device), hostIndex: make(map[string]int), adopted: make(map[string]netns.ID)}
}

func (f *facts) setMade(networkID string, d link.Device) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.networks[networkID] = d
}

// made returns what stands for a network; is is false while nothing was made.
func (f *facts) made(networkID string) (d link.Device, is bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, is = f.networks[networkID]
	return d, is
}

// allMade returns a copy of what stands for all networks.
func (f *facts) allMade() map[string]link.Device {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.networks)
}

func (f *facts) forgetMade(networkID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.networks, networkID)
}

func (f *facts) setHostIndex(endpointID string, index int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hostIndex[endpointID] = index
}

// endpointIndex is 0 for an endpoint that isn't attached.
func (f *facts) endpointIndex(endpointID string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hostIndex[endpointID]
}

func (f *facts) forgetEndpoint(endpointID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.hostIndex, endpointID)
}

// attached returns a copy of the device index of every attached endpoint.
func (f *facts) attached() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.hostIndex)
}

func (f *facts) setNamespace(sandboxID string, id netns.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.adopted[sandboxID] = id
}

// namespace is the zero ID for a sandbox whose namespace isn't adopted, or wasn't found.
func (f *facts) namespace(sandboxID string) netns.ID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.adopted[sandboxID]
}

func (f *facts) forgetNamespace(sandboxID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.adopted, sandboxID)
}

func (f *facts) setHost(h datapath.Host) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.host = h
}

func (f *facts) hostNow() datapath.Host {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.host
}
