// SPDX-License-Identifier: Apache-2.0

package api

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

// maxPortSpecs bounds what the ranges of one request expand to: every port of
// the three protocols on one address.
const maxPortSpecs = 3 * 65535

// PortSpecs returns the published ports, ranges expanded.
func (c *SandboxConfig) PortSpecs() ([]model.PortSpec, error) {
	var all []model.PortSpec
	for _, s := range c.Publish {
		specs, err := ParsePublish(s)
		if err != nil {
			return nil, err
		}
		if len(all)+len(specs) > maxPortSpecs {
			return nil, Errorf(ErrInvalid, "publish %q: more than %d ports for one sandbox", s, maxPortSpecs)
		}
		all = append(all, specs...)
	}
	return all, nil
}

// Exposed returns the exposed ports, ranges expanded and each port once.
func (c *SandboxConfig) Exposed() ([]model.Port, error) {
	var all []model.Port
	seen := make(map[model.Port]bool)
	for _, s := range c.Expose {
		ports, proto, err := parsePorts(s)
		if err != nil {
			return nil, Errorf(ErrInvalid, "expose %q: %w", s, err)
		}
		for n := uint32(ports.first); n <= uint32(ports.last); n++ {
			p := model.Port{Num: uint16(n), Proto: proto}
			if !seen[p] {
				seen[p] = true
				all = append(all, p)
			}
		}
	}
	return all, nil
}

// ParsePublish reads a value of -p as Docker does:
//
//	[[IP:][HOSTPORT[-END]]:]PORT[-END][/PROTO]
//
// Ranges of equal length are matched one to one; a single container port takes
// any free port of a host range. Errors are ErrInvalid and name the value.
func ParsePublish(s string) ([]model.PortSpec, error) {
	hostIP, hostPort, containerPort := splitPublish(s)
	container, proto, err := parsePorts(containerPort)
	if err != nil {
		return nil, Errorf(ErrInvalid, "publish %q: %w", s, err)
	}
	addr, err := parseHostIP(hostIP)
	if err != nil {
		return nil, Errorf(ErrInvalid, "publish %q: %w", s, err)
	}
	host, err := parseHostPorts(hostPort)
	if err != nil {
		return nil, Errorf(ErrInvalid, "publish %q: %w", s, err)
	}
	if host.last != 0 && container.count() > 1 && host.count() != container.count() {
		return nil, Errorf(ErrInvalid, "publish %q: host range %s has %d ports and container range %s has %d; want the same number",
			s, host, host.count(), container, container.count())
	}
	return expand(addr, host, container, proto), nil
}

func expand(addr netip.Addr, host, container portRange, proto model.Proto) []model.PortSpec {
	specs := make([]model.PortSpec, 0, container.count())
	for i := range container.count() {
		spec := model.PortSpec{
			Port:        model.Port{Num: container.first + uint16(i), Proto: proto},
			HostIP:      addr,
			HostPort:    host.first,
			HostPortEnd: host.last,
		}
		if container.count() > 1 && host.last != 0 {
			spec.HostPort = host.first + uint16(i)
			spec.HostPortEnd = spec.HostPort
		}
		specs = append(specs, spec)
	}
	return specs
}

// splitPublish takes s apart at its last two colons; an IPv6 address has its
// own inside brackets or, as in Docker, without.
func splitPublish(s string) (hostIP, hostPort, containerPort string) {
	rest, containerPort, ok := cutLast(s)
	if !ok {
		return "", "", s
	}
	hostIP, hostPort, ok = cutLast(rest)
	if !ok {
		return "", rest, containerPort
	}
	return hostIP, hostPort, containerPort
}

func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

func parseHostIP(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	bare := s
	if in, ok := strings.CutPrefix(s, "["); ok {
		if bare, ok = strings.CutSuffix(in, "]"); !ok {
			return netip.Addr{}, Errorf(ErrInvalid, "host address %q: closing bracket is missing", s)
		}
	}
	addr, err := netip.ParseAddr(bare)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, Errorf(ErrInvalid, "host address %q: want an IP address like 127.0.0.1 or [::1]", s)
	}
	return addr.Unmap(), nil
}

// portRange is first..last, both included; 0..0 stands for any host port.
type portRange struct{ first, last uint16 }

func (r portRange) count() int { return int(r.last) - int(r.first) + 1 }

func (r portRange) String() string {
	if r.first == r.last {
		return strconv.Itoa(int(r.first))
	}
	return strconv.Itoa(int(r.first)) + "-" + strconv.Itoa(int(r.last))
}

// parsePorts reads PORT[-END][/PROTO].
func parsePorts(s string) (portRange, model.Proto, error) {
	ports, name, ok := strings.Cut(s, "/")
	proto := model.TCP
	if ok {
		var err error
		if proto, err = model.ParseProto(strings.ToLower(name)); err != nil {
			return portRange{}, 0, err
		}
	}
	if ports == "" {
		return portRange{}, 0, Errorf(ErrInvalid, "container port is missing")
	}
	r, err := parseRange(ports)
	if err == nil && r.first == 0 {
		err = Errorf(ErrInvalid, "port %q: want 1 to 65535", ports)
	}
	return r, proto, err
}

// parseHostPorts reads [PORT[-END]]; nothing and 0 leave the choice open.
func parseHostPorts(s string) (portRange, error) {
	if s == "" {
		return portRange{}, nil
	}
	r, err := parseRange(s)
	if err == nil && r.first == 0 && r.last != 0 {
		err = Errorf(ErrInvalid, "port range %q: want 1 to 65535", s)
	}
	return r, err
}

func parseRange(s string) (portRange, error) {
	from, to, ranged := strings.Cut(s, "-")
	first, err := parsePort(from)
	if err != nil || !ranged {
		return portRange{first, first}, err
	}
	last, err := parsePort(to)
	if err != nil {
		return portRange{}, err
	}
	if last < first {
		return portRange{}, Errorf(ErrInvalid, "port range %q: ends before it begins", s)
	}
	return portRange{first, last}, nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, Errorf(ErrInvalid, "port %q: want a number from 1 to 65535", s)
	}
	return uint16(n), nil
}
