// SPDX-License-Identifier: Apache-2.0

package apitest

import (
	"context"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/request"
)

var _ interface {
	api.DockerBackend
	api.DockerConfigBackend
} = (*Fake)(nil)

// HoldPort implements api.DockerBackend; nobody else may have the host port. 10/8
// is an internal network.
func (f *Fake) HoldPort(_ context.Context, p api.DockerPort) (held api.DockerPortHeld, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, have := range f.dockerPorts {
		if have.Pid != p.Pid && have.HostPort == p.HostPort && have.HostIP == p.HostIP && have.Proto == p.Proto {
			return held, request.Errorf(request.ErrConflict, "host port %d is process %d's", p.HostPort, have.Pid)
		}
	}
	f.dockerPorts = append(f.dockerPorts, p)
	held.Internal = netip.MustParsePrefix("10.0.0.0/8").Contains(p.ContainerIP)
	return held, nil
}

// ReleasePort implements api.DockerBackend.
func (f *Fake) ReleasePort(_ context.Context, p api.DockerPort) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dockerPorts = slices.DeleteFunc(f.dockerPorts, func(have api.DockerPort) bool { return have == p })
	return nil
}

// Kept implements api.DockerConfigBackend.
func (f *Fake) Kept(context.Context) (content []byte, kept bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dockerConfig == nil {
		return nil, false, nil
	}
	return *f.dockerConfig, true, nil
}

// Keep implements api.DockerConfigBackend.
func (f *Fake) Keep(_ context.Context, content []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dockerConfig == nil {
		f.dockerConfig = &content
	}
	return nil
}

// Forget implements api.DockerConfigBackend.
func (f *Fake) Forget(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dockerConfig = nil
	return nil
}
