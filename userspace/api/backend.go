// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"iter"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// Backend answers the API. The engine is the real one.
//
// A ref is a name, an ID or an unambiguous prefix of an ID, in this order.
// Errors carry a kind (ErrNotFound, ErrConflict, ErrInvalid); an operation that
// returns an error has changed nothing. Calls may run at the same time.
type Backend interface {
	NetworkBackend
	SandboxBackend
	ServiceBackend
	HostBackend
}

// NetworkBackend keeps the networks.
type NetworkBackend interface {
	CreateNetwork(ctx context.Context, req request.NetworkCreate) (model.Network, error)
	Networks(ctx context.Context) ([]request.NetworkView, error)
	Network(ctx context.Context, ref string) (request.NetworkView, error)
	// RemoveNetwork fails with ErrConflict while the network has endpoints, and
	// with ErrInvalid for a predefined network.
	RemoveNetwork(ctx context.Context, ref string) error
	// PruneNetworks removes the networks without endpoints that match says yes
	// to, never a predefined one, and returns the names of those removed, also
	// along with an error.
	PruneNetworks(ctx context.Context, match func(model.Network) bool) ([]string, error)
	// Connect attaches a sandbox; s.Network names the network.
	Connect(ctx context.Context, sandbox string, s request.EndpointSettings) error
	Disconnect(ctx context.Context, network, sandbox string, force bool) error
}

// SandboxBackend keeps the sandboxes.
type SandboxBackend interface {
	// Run makes a sandbox and starts its process. With stdio nil the output goes
	// to the sandbox's log. The caller closes the files of stdio after the call.
	Run(ctx context.Context, req request.Run, stdio *request.Stdio) (request.SandboxView, request.Process, error)
	// Add makes a sandbox around an existing namespace.
	Add(ctx context.Context, req request.Add) (request.SandboxView, error)
	// Sandboxes returns all, those that do not run among them.
	Sandboxes(ctx context.Context) ([]request.SandboxView, error)
	Sandbox(ctx context.Context, ref string) (request.SandboxView, error)
	// Exec starts a process in a running sandbox, as Run as to stdio; nil stdio
	// is /dev/null.
	Exec(ctx context.Context, ref string, req request.Exec, stdio *request.Stdio) (request.Process, error)
	// Stop ends the process and keeps the sandbox; one that doesn't run is not
	// an error.
	Stop(ctx context.Context, ref string, req request.Stop) error
	// Remove removes the sandbox; force also one that runs, after killing it.
	Remove(ctx context.Context, ref string, force bool) error
	// Wait waits for the end of the sandbox's process and returns its exit
	// code, 128+n after signal n. It returns at once for one that has ended.
	Wait(ctx context.Context, ref string) (int, error)
}

// ServiceBackend keeps the services: names and addresses in front of many sandboxes. A ref
// that is a name of services in several networks is ErrInvalid.
type ServiceBackend interface {
	CreateService(ctx context.Context, req request.ServiceCreate) (request.ServiceView, error)
	UpdateService(ctx context.Context, ref string, req request.ServiceUpdate) (request.ServiceView, error)
	// Services returns all, ordered by name.
	Services(ctx context.Context) iter.Seq[request.ServiceView]
	Service(ctx context.Context, ref string) (request.ServiceView, error)
	// CountServices returns the connections of services by ID, of those of others too. One
	// that has nothing to count is left out.
	CountServices(ctx context.Context, ids ...string) (map[string]request.ServiceCounts, error)
	// DrainService has a backend get no new flows, or get them again. It fails with
	// ErrNotFound for what is no backend.
	DrainService(ctx context.Context, ref string, req request.ServiceDrain) error
	RemoveService(ctx context.Context, ref string) error
}

// HostBackend tells of the host and the daemon.
type HostBackend interface {
	// Flows lists the tracked connections.
	Flows(ctx context.Context) iter.Seq2[request.FlowView, error]
	// Carried returns what others have in the datapath, as far as they say it.
	Carried(ctx context.Context) (request.Carried, error)
	// Status returns what could be read along with the error.
	Status(ctx context.Context) (request.Status, error)
	// Doctor checks the host as the daemon sees it.
	Doctor(ctx context.Context) ([]request.Check, error)
	// Uninstall removes every trace of this daemon from the kernel and, with
	// purge, its state on disk. It tells removed one line per thing removed, one
	// at a time. The daemon ends after the answer.
	Uninstall(ctx context.Context, purge bool, removed func(string)) error
}
