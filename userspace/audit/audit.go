// SPDX-License-Identifier: Apache-2.0

// Package audit logs what is made and removed, and for whom: one line per change, at
// level info, or warn where a service loses a backend. The messages and the names of their attributes are stable, and stand in
// docs/logs.md.
//
// Be aware:
//   - a line says that the change is in force, and is stored where it is stored;
//   - what is taken over from an earlier daemon is no change: TakenOver counts it;
//   - consecutive ports of one host address are one line, as a range.
package audit

import (
	"log/slog"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
)

// The messages.
const (
	msgNetworkCreated       = "network created"
	msgNetworkRemoved       = "network removed"
	msgSandboxRun           = "sandbox run"
	msgSandboxEnded         = "sandbox ended"
	msgSandboxRemoved       = "sandbox removed"
	msgEndpointConnected    = "endpoint connected"
	msgEndpointDisconnected = "endpoint disconnected"
	msgPortPublished        = "port published"
	msgPortUnpublished      = "port unpublished"
	msgServiceCreated       = "service created"
	msgServiceUpdated       = "service updated"
	msgServiceRemoved       = "service removed"
	msgBackendActive        = "backend active"
	msgBackendDraining      = "backend draining"
	msgBackendDown          = "backend down"
	msgTakenOver            = "taken over"
)

// The attributes. Those for a thing's name hold its ID where it has no name.
const (
	attrOwner    = "owner"
	attrService  = "service"
	attrBackend  = "backend"
	attrNetwork  = "network"
	attrSandbox  = "sandbox"
	attrEndpoint = "endpoint"
	attrID       = "id"
	attrDriver   = "driver"
	attrDevice   = "device"
	attrIPv4     = "ipv4"
	attrIPv6     = "ipv6"
	attrPort     = "port"
	attrNetns    = "netns"
	attrExitCode = "exit_code"
	attrReason   = "reason"

	attrNetworks, attrSandboxes, attrEndpoints, attrPorts, attrServices = "networks", "sandboxes", "endpoints", "ports", "services"
)

// shortID is as much of an ID as lists show.
const shortID = 12

// Log logs the changes of one owner.
type Log struct{ log *slog.Logger }

// New returns the log of an owner.
func New(log *slog.Logger, owner model.Owner) *Log { return &Log{log.With(attrOwner, owner)} }

// NetworkCreated is for a network that works now.
func (l *Log) NetworkCreated(n *model.Network) {
	args := []any{attrNetwork, n.Name, attrID, short(n.ID), attrDriver, n.Driver, attrDevice, n.Device()}
	if n.IPv4 != nil {
		args = append(args, attrIPv4, n.IPv4.Prefix)
	}
	if n.IPv6 != nil {
		args = append(args, attrIPv6, n.IPv6.Prefix)
	}
	l.log.Info(msgNetworkCreated, args...)
}

// ServiceCreated is for a service that works now, with its addresses in the first of its
// networks.
func (l *Log) ServiceCreated(s *model.Service) {
	args := []any{attrService, s.Name, attrID, short(s.ID)}
	for _, n := range s.Networks[:min(1, len(s.Networks))] {
		if n.IPv4.IsValid() {
			args = append(args, attrIPv4, n.IPv4)
		}
		if n.IPv6.IsValid() {
			args = append(args, attrIPv6, n.IPv6)
		}
	}
	l.log.Info(msgServiceCreated, args...)
	l.ServicePorts(s.Name, nil, s.Published)
}

// ServiceUpdated is for a service that is another now.
func (l *Log) ServiceUpdated(was, now *model.Service) {
	l.log.Info(msgServiceUpdated, attrService, now.Name, attrID, short(now.ID))
	l.ServicePorts(now.Name, was.Published, now.Published)
}

// Backend is a backend of a service, by its sandbox's name or its address.
type Backend struct {
	ServiceID, Service, Name string
	State                    model.BackendState
	// Reason says why it isn't active.
	Reason string
	// Left says that the service doesn't want it any more.
	Left bool
}

// BackendChanged is for a backend that gets more or less than it did.
func (l *Log) BackendChanged(b Backend) {
	args := []any{attrService, b.Service, attrID, short(b.ServiceID), attrBackend, b.Name}
	if b.Reason != "" {
		args = append(args, attrReason, b.Reason)
	}
	switch {
	case b.State == model.BackendActive:
		l.log.Info(msgBackendActive, args...)
	case b.State == model.BackendDraining:
		l.log.Info(msgBackendDraining, args...)
	case b.Left:
		l.log.Info(msgBackendDown, args...)
	default:
		l.log.Warn(msgBackendDown, args...)
	}
}

// ServiceRemoved is for a service that is gone, and its ports with it.
func (l *Log) ServiceRemoved(s *model.Service) {
	l.ServicePorts(s.Name, s.Published, nil)
	l.log.Info(msgServiceRemoved, attrService, s.Name, attrID, short(s.ID))
}

// NetworkRemoved is for a network that is gone, or of which nothing is left in the
// kernel.
func (l *Log) NetworkRemoved(n *model.Network) {
	l.log.Info(msgNetworkRemoved, attrNetwork, n.Name, attrID, short(n.ID))
}

// SandboxRun is for a sandbox that runs now; of one around a namespace of somebody
// else's it names that.
func (l *Log) SandboxRun(sb *model.Sandbox) {
	args := []any{attrSandbox, sb.Name, attrID, short(sb.ID)}
	if sb.Adopted {
		args = append(args, attrNetns, sb.Netns)
	}
	l.log.Info(msgSandboxRun, args...)
}

// SandboxEnded is for a sandbox that doesn't run any more. The exit code and why are
// there where they are known.
func (l *Log) SandboxEnded(sb *model.Sandbox) {
	args := []any{attrSandbox, sb.Name, attrID, short(sb.ID)}
	if sb.State.ExitCode != nil {
		args = append(args, attrExitCode, *sb.State.ExitCode)
	}
	if sb.State.Error != "" {
		args = append(args, attrReason, sb.State.Error)
	}
	l.log.Info(msgSandboxEnded, args...)
}

// SandboxRemoved is for a sandbox that nobody knows any more.
func (l *Log) SandboxRemoved(sb *model.Sandbox) {
	l.log.Info(msgSandboxRemoved, attrSandbox, sb.Name, attrID, short(sb.ID))
}

// Endpoint is an endpoint by its names.
type Endpoint struct {
	ID, Sandbox, Network string
	// IPv4 and IPv6 are invalid for a family that is off.
	IPv4, IPv6 netip.Addr
}

// EndpointConnected is for an endpoint whose packets are carried.
func (l *Log) EndpointConnected(e Endpoint) { l.log.Info(msgEndpointConnected, e.args()...) }

// EndpointDisconnected is for one that is gone.
func (l *Log) EndpointDisconnected(e Endpoint) { l.log.Info(msgEndpointDisconnected, e.args()...) }

func (e Endpoint) args() []any {
	args := []any{attrSandbox, e.Sandbox, attrNetwork, e.Network, attrEndpoint, short(e.ID)}
	if e.IPv4.IsValid() {
		args = append(args, attrIPv4, e.IPv4)
	}
	if e.IPv6.IsValid() {
		args = append(args, attrIPv6, e.IPv6)
	}
	return args
}

// Ports tells the difference between what is published for a sandbox and what was.
func (l *Log) Ports(sandbox string, was, is []model.PublishedPort) {
	l.ports(attrSandbox, sandbox, was, is)
}

// ServicePorts is Ports of a service.
func (l *Log) ServicePorts(service string, was, is []model.PublishedPort) {
	l.ports(attrService, service, was, is)
}

func (l *Log) ports(attr, name string, was, is []model.PublishedPort) {
	for _, r := range runs(without(was, is)) {
		l.log.Info(msgPortUnpublished, attr, name, attrPort, r)
	}
	for _, r := range runs(without(is, was)) {
		l.log.Info(msgPortPublished, attr, name, attrPort, r)
	}
}

// TakenOver counts what an earlier daemon left, or was there before.
func (l *Log) TakenOver(networks, sandboxes, endpoints, ports, services int) {
	if networks+sandboxes+endpoints+ports+services > 0 {
		l.log.Info(msgTakenOver, attrNetworks, networks, attrSandboxes, sandboxes, attrEndpoints, endpoints, attrPorts, ports, attrServices, services)
	}
}

// without returns what of all isn't in others. Sandboxes have thousands of ports.
func without(all, others []model.PublishedPort) []model.PublishedPort {
	if len(others) == 0 {
		return slices.Clone(all)
	}
	has := make(map[model.PublishedPort]bool, len(others))
	for _, p := range others {
		has[p] = true
	}
	return slices.DeleteFunc(slices.Clone(all), func(p model.PublishedPort) bool { return has[p] })
}

func short(id string) string { return id[:min(len(id), shortID)] }
