// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// DockerBackend carries the networks of a Docker Engine.
type DockerBackend interface {
	// HoldPort returns when the port is carried, or will be as soon as its container can
	// be reached. It may wait for the engine for some seconds.
	HoldPort(ctx context.Context, p DockerPort) (DockerPortHeld, error)
	// ReleasePort returns once the port leads nowhere. Releasing what isn't held
	// is not an error.
	ReleasePort(ctx context.Context, p DockerPort) error
}

// DockerPort is what a Docker Engine tells the proxy that it starts for a
// published port.
type DockerPort struct {
	// Pid of the proxy, which holds the port for as long as it runs.
	Pid           int         `json:"pid"`
	Proto         model.Proto `json:"proto"`
	HostIP        netip.Addr  `json:"host_ip"`
	HostPort      uint16      `json:"host_port"`
	ContainerIP   netip.Addr  `json:"container_ip"`
	ContainerPort uint16      `json:"container_port"`
}

// DockerPortHeld is the answer to a proxy that holds a port.
type DockerPortHeld struct {
	// Internal says that the container's network is internal: the port leads
	// nowhere, and the proxy may not serve it either.
	Internal bool `json:"internal,omitempty"`
}

// Validate reports what is missing.
func (p *DockerPort) Validate() error {
	switch {
	case p.Pid <= 0:
		return request.Errorf(request.ErrInvalid, "pid %d: want the proxy's process ID", p.Pid)
	case p.Proto == 0:
		return request.Errorf(request.ErrInvalid, "proto: is missing")
	case !p.HostIP.IsValid(), !p.ContainerIP.IsValid():
		return request.Errorf(request.ErrInvalid, "host_ip %q, container_ip %q: want an address in both", p.HostIP, p.ContainerIP)
	case p.HostPort == 0, p.ContainerPort == 0:
		return request.Errorf(request.ErrInvalid, "host_port %d, container_port %d: want 1 to 65535", p.HostPort, p.ContainerPort)
	}
	return nil
}

// ServeDocker makes the server answer the calls of Docker's proxies with b. It is
// called before Serve.
func (s *Server) ServeDocker(b DockerBackend) { s.handlers.docker = b }

func (h *handlers) holdDockerPort(w http.ResponseWriter, r *http.Request) error {
	p, err := h.dockerPort(w, r)
	if err != nil {
		return err
	}
	held, err := h.docker.HoldPort(r.Context(), p)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, held)
}

func (h *handlers) releaseDockerPort(w http.ResponseWriter, r *http.Request) error {
	p, err := h.dockerPort(w, r)
	if err != nil {
		return err
	}
	if err := h.docker.ReleasePort(r.Context(), p); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct{}{})
}

// dockerPort reads a request of a proxy's.
func (h *handlers) dockerPort(w http.ResponseWriter, r *http.Request) (p DockerPort, err error) {
	if err := decodeBody(r, &p); err != nil {
		return p, err
	}
	if h.docker == nil {
		return p, request.Errorf(request.ErrConflict, "this daemon doesn't carry Docker's networks: start it with --docker")
	}
	return p, nil
}
