// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// Openings reads what a container is to publish. With -P that is every exposed port
// that isn't published otherwise.
func Openings(w client.Wanted) ([]policy.Opening, error) {
	var out []policy.Opening
	for _, text := range slices.Sorted(maps.Keys(w.HostConfig.PortBindings)) {
		port, err := parsePort(text)
		if err != nil {
			return nil, err
		}
		for _, b := range w.HostConfig.PortBindings[text] {
			o, err := opening(port, b.HostIP)
			if err != nil {
				return nil, err
			}
			out = append(out, o)
		}
	}
	if !w.HostConfig.PublishAllPorts {
		return out, nil
	}
	for _, text := range slices.Sorted(maps.Keys(w.Config.ExposedPorts)) {
		if len(w.HostConfig.PortBindings[text]) > 0 {
			continue
		}
		port, err := parsePort(text)
		if err != nil {
			return nil, err
		}
		out = append(out, policy.Opening{Port: port, V4: true, V6: true})
	}
	return out, nil
}

func opening(port model.Port, hostIP string) (policy.Opening, error) {
	if hostIP == "" {
		return policy.Opening{Port: port, V4: true, V6: true}, nil
	}
	a, err := netip.ParseAddr(hostIP)
	if err != nil {
		return policy.Opening{}, fmt.Errorf("port %s: host address: %w", port, err)
	}
	return policy.Opening{Port: port, V4: a.Unmap().Is4(), V6: a.Unmap().Is6()}, nil
}

// parsePort reads "80/tcp"; without a protocol it is TCP.
func parsePort(text string) (model.Port, error) {
	number, proto, found := strings.Cut(text, "/")
	if !found {
		proto = model.TCP.String()
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return model.Port{}, fmt.Errorf("port %q: %w", text, err)
	}
	p, err := model.ParseProto(proto)
	if err != nil {
		return model.Port{}, fmt.Errorf("port %q: %w", text, err)
	}
	return model.Port{Num: uint16(n), Proto: p}, nil
}

// Routes reports whether gateway mode routed matters for any address of e.
func (n *Network) Routes(e Endpoint) bool {
	return policy.Routes(&n.Network, e.IPv4) || policy.Routes(&n.Network, e.IPv6)
}

// RoutedPorts says which ports endpoints on networks in gateway mode routed open on
// their own addresses, by endpoint ID.
func RoutedPorts(networks map[string]Network, openings map[string][]policy.Opening) map[string][]datapath.Port {
	out := make(map[string][]datapath.Port)
	for _, n := range networks {
		for _, e := range n.Endpoints {
			if ports := policy.Routed(&n.Network, e.IPv4, e.IPv6, openings[e.Container]); len(ports) > 0 {
				out[e.ID] = ports
			}
		}
	}
	return out
}
