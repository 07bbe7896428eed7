// SPDX-License-Identifier: Apache-2.0

package request

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/ports"
)

// Bounds of one service. A datapath has room for so many ports and backends of all.
const (
	maxServicePorts    = 256
	maxServiceBackends = 10000
	maxServiceNetworks = 16
	maxServiceSources  = 64
	// maxServiceTargets bounds ports times named backends: each port may be a pool of all.
	maxServiceTargets = 1 << 16
)

// Validate checks what can be checked without knowing the host, as of NetworkCreate.
func (r *ServiceCreate) Validate() error {
	_, err := r.Service()
	return err
}

// Service returns the service that is asked for, without an ID, with its networks' IDs
// and addresses missing. Errors are ErrInvalid and name the value.
func (r *ServiceCreate) Service() (*model.Service, error) {
	if r.Name == "" {
		return nil, Errorf(ErrInvalid, "service name is missing")
	}
	if err := checkName("service", r.Name, maxSandboxName); err != nil {
		return nil, err
	}
	s := &model.Service{Name: r.Name, EndpointMode: r.EndpointMode}
	switch r.EndpointMode {
	case "":
		s.EndpointMode = model.EndpointModeVIP
	case model.EndpointModeVIP, model.EndpointModeDNSRR:
	default:
		return nil, Errorf(ErrInvalid, "endpoint mode %q: want %s or %s", r.EndpointMode, model.EndpointModeVIP, model.EndpointModeDNSRR)
	}
	if len(r.Networks) == 0 {
		return nil, Errorf(ErrInvalid, "service %s: a network is missing", r.Name)
	}
	if len(r.Networks) > maxServiceNetworks {
		return nil, Errorf(ErrInvalid, "service %s: %d networks; want at most %d", r.Name, len(r.Networks), maxServiceNetworks)
	}
	if err := r.checkAddresses(); err != nil {
		return nil, err
	}
	return s, r.ServiceSpec.fill(s)
}

func (r *ServiceCreate) checkAddresses() error {
	if err := checkEndpoint(EndpointSettings{IPv4: r.IPv4, IPv6: r.IPv6}); err != nil {
		return err
	}
	for _, a := range []netip.Addr{r.IPv4, r.IPv6} {
		if a.IsValid() && r.EndpointMode == model.EndpointModeDNSRR {
			return Errorf(ErrInvalid, "ip %s: a service with endpoint mode %s has no address", a, model.EndpointModeDNSRR)
		}
	}
	return nil
}

// fill puts all that r says into s, and defaults in the place of what it doesn't.
func (r *ServiceSpec) fill(s *model.Service) error {
	all := ServiceUpdate{
		Ports: &r.Ports, Publish: &r.Publish, Selector: &r.Selector, Backends: &r.Backends, Scheduler: &r.Scheduler,
		Affinity: &r.Affinity, Health: &r.Health, Passive: r.Passive, Drain: &r.Drain, Sources: &r.Sources, Labels: &r.Labels,
	}
	return all.change(s)
}

// Apply returns the service as r changes it. Errors are ErrInvalid and name the value.
func (r *ServiceUpdate) Apply(s *model.Service) (*model.Service, error) {
	now := *s
	return &now, r.change(&now)
}

// change puts what r says into s.
func (r *ServiceUpdate) change(s *model.Service) error {
	if err := r.changePorts(s); err != nil {
		return err
	}
	if err := r.changeBackends(s); err != nil {
		return err
	}
	if n := len(s.Ports) * len(s.Backends); n > maxServiceTargets {
		return Errorf(ErrInvalid, "service %s: %d ports of %d backends each; want at most %d of all", s.Name, len(s.Ports), len(s.Backends), maxServiceTargets)
	}
	if err := r.changeChoice(s); err != nil {
		return err
	}
	if r.Labels != nil {
		s.Labels = maps.Clone(*r.Labels)
	}
	return checkHealthPort(s)
}

func (r *ServiceUpdate) changePorts(s *model.Service) (err error) {
	if r.Ports != nil {
		if s.Ports, err = parseServicePorts(*r.Ports); err != nil {
			return err
		}
	}
	if r.Publish != nil {
		if s.Specs, err = parsePublish(*r.Publish); err != nil {
			return err
		}
		if len(s.Ports) == 0 {
			s.Ports = portsOf(s.Specs)
		}
	}
	for _, spec := range s.Specs {
		if !slices.ContainsFunc(s.Ports, func(p model.ServicePort) bool { return p.Port == spec.Port }) {
			return Errorf(ErrInvalid, "published port %s: service %s has no such port; it has %s", spec.Port, s.Name, portList(s.Ports))
		}
	}
	if len(s.Ports) == 0 && s.EndpointMode == model.EndpointModeVIP {
		return Errorf(ErrInvalid, "service %s: a port is missing; only with endpoint mode %s there may be none", s.Name, model.EndpointModeDNSRR)
	}
	return nil
}

// parseServicePorts reads PORT[:TARGET][/PROTO].
func parseServicePorts(texts []string) (out []model.ServicePort, err error) {
	if err := checkCount(len(texts)); err != nil {
		return nil, err
	}
	for _, text := range texts {
		p, err := parseServicePort(text)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(o model.ServicePort) bool { return o.Port == p.Port }) {
			return nil, Errorf(ErrInvalid, "port %q: port %s is given twice", text, p.Port)
		}
		out = append(out, p)
	}
	return out, nil
}

func checkCount(servicePorts int) error {
	if servicePorts > maxServicePorts {
		return Errorf(ErrInvalid, "%d ports of one service; want at most %d", servicePorts, maxServicePorts)
	}
	return nil
}

func parseServicePort(text string) (p model.ServicePort, err error) {
	rest, name, found := strings.Cut(text, "/")
	p.Port.Proto = model.TCP
	if found {
		if p.Port.Proto, err = model.ParseProto(strings.ToLower(name)); err != nil {
			return p, Errorf(ErrInvalid, "port %q: %w", text, err)
		}
	}
	num, target, found := strings.Cut(rest, ":")
	if p.Port.Num, err = parsePort(num); err != nil {
		return p, Errorf(ErrInvalid, "port %q: %w", text, err)
	}
	p.Target = p.Port.Num
	if found {
		if p.Target, err = parsePort(target); err != nil {
			return p, Errorf(ErrInvalid, "port %q: target %w", text, err)
		}
	}
	return p, nil
}

func parsePort(text string) (uint16, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, Errorf(ErrInvalid, "%q: want a number from 1 to 65535", text)
	}
	return uint16(n), nil
}

// parsePublish reads [[IP:]HOSTPORT:]PORT[/PROTO] as --publish of a sandbox.
func parsePublish(texts []string) (out []model.PortSpec, err error) {
	for _, text := range texts {
		specs, err := ports.ParseSpec(text)
		if err != nil {
			return nil, Mark(ErrInvalid, err)
		}
		out = append(out, specs...)
		if err := checkCount(len(out)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// portsOf are the ports of a service of which only publications were given.
func portsOf(specs []model.PortSpec) (out []model.ServicePort) {
	for _, spec := range specs {
		p := model.ServicePort{Port: spec.Port, Target: spec.Port.Num}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func portList(all []model.ServicePort) string {
	if len(all) == 0 {
		return "none"
	}
	var texts []string
	for _, p := range all {
		texts = append(texts, p.Port.String())
	}
	return strings.Join(texts, ", ")
}
