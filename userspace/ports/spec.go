// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

// ParseSpec parses one argument of -p: [hostIP:][hostPort[-end]:]port[-end][/tcp|/udp|/sctp].
// It returns one PortSpec per container port. A host port that is missing, or
// 0, means any.
func ParseSpec(s string) ([]model.PortSpec, error) {
	specs, err := parseSpec(s)
	if err != nil {
		return nil, fmt.Errorf("publish %q: %w", s, err)
	}
	return specs, nil
}

func parseSpec(s string) ([]model.PortSpec, error) {
	rest, proto, err := cutProto(s)
	if err != nil {
		return nil, err
	}
	rest, target := cutLast(rest)
	rest, hostPort := cutLast(rest)
	hostIP, err := parseHostIP(rest)
	if err != nil {
		return nil, err
	}
	container, err := parseRange(target)
	if err != nil {
		return nil, fmt.Errorf("container port %w", err)
	}
	host, err := parseHostRange(hostPort)
	if err != nil {
		return nil, fmt.Errorf("host port %w", err)
	}
	return expand(hostIP, host, container, proto)
}

// cutLast splits s at its last colon; without one, all of s is the last part.
func cutLast(s string) (before, last string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", s
	}
	return s[:i], s[i+1:]
}

// cutProto splits off /tcp, /udp or /sctp; Docker takes capitals, too.
func cutProto(s string) (string, model.Proto, error) {
	rest, name, found := strings.Cut(s, "/")
	if !found {
		return s, model.TCP, nil
	}
	proto, err := model.ParseProto(strings.ToLower(name))
	return rest, proto, err
}

func parseHostIP(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	text, bracketed := strings.CutPrefix(s, "[")
	if bracketed {
		var closed bool
		if text, closed = strings.CutSuffix(text, "]"); !closed {
			return netip.Addr{}, fmt.Errorf("host address %q: want an address like [::1]", s)
		}
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" || bracketed && addr.Is4() {
		return netip.Addr{}, fmt.Errorf("host address %q: want an IP address like 127.0.0.1 or [::1]", s)
	}
	return addr.Unmap(), nil
}

// parseHostRange is parseRange where an empty text and 0 mean any port.
func parseHostRange(s string) (portRange, error) {
	if s == "" || s == "0" {
		return portRange{}, nil
	}
	return parseRange(s)
}

// expand pairs host and container ports: ranges of the same length one to one,
// a host range with one container port as a choice.
func expand(ip netip.Addr, host, container portRange, proto model.Proto) ([]model.PortSpec, error) {
	if host.any() || container.len() == 1 {
		return expandEach(ip, host, container, proto, 0), nil
	}
	if host.len() != container.len() {
		return nil, fmt.Errorf("host range %s has %d ports and container range %s has %d; want the same number",
			host, host.len(), container, container.len())
	}
	host.last = host.first
	return expandEach(ip, host, container, proto, 1), nil
}

// expandEach makes a PortSpec per container port and moves the host range on by step.
func expandEach(ip netip.Addr, host, container portRange, proto model.Proto, step int) []model.PortSpec {
	specs := make([]model.PortSpec, 0, container.len())
	for i := range container.len() {
		specs = append(specs, model.PortSpec{
			Port:        model.Port{Num: uint16(container.first + i), Proto: proto},
			HostIP:      ip,
			HostPort:    uint16(host.first + i*step),
			HostPortEnd: uint16(host.last + i*step),
		})
	}
	return specs
}
