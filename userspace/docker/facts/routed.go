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
)

// Opening is a port that a container was told to publish, as far as gateway mode
// routed heeds it: the host port means nothing there, and the host address only
// says in which families.
type Opening struct {
	model.Port
	// V4 and V6 are the families.
	V4, V6 bool
}

// Openings reads what a container is to publish. With -P that is every exposed port
// that isn't published otherwise.
func Openings(w client.Wanted) ([]Opening, error) {
	var out []Opening
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
		out = append(out, Opening{port, true, true})
	}
	return out, nil
}

func opening(port model.Port, hostIP string) (Opening, error) {
	if hostIP == "" {
		return Opening{port, true, true}, nil
	}
	a, err := netip.ParseAddr(hostIP)
	if err != nil {
		return Opening{}, fmt.Errorf("port %s: host address: %w", port, err)
	}
	return Opening{port, a.Unmap().Is4(), a.Unmap().Is6()}, nil
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
	return slices.ContainsFunc([]netip.Addr{e.IPv4, e.IPv6}, n.routes)
}

func (n *Network) routes(a netip.Addr) bool {
	return a.IsValid() && !n.Internal && n.GatewayMode(a) == model.GatewayRouted
}

// RoutedPorts says which ports endpoints on networks in gateway mode routed open on
// their own addresses, by endpoint ID. That holds whether or not the endpoint is its
// container's gateway.
func RoutedPorts(networks map[string]Network, openings map[string][]Opening) map[string][]datapath.Port {
	out := make(map[string][]datapath.Port)
	for _, n := range networks {
		for _, e := range n.Endpoints {
			if ports := routedPorts(&n, e, openings[e.Container]); len(ports) > 0 {
				out[e.ID] = ports
			}
		}
	}
	return out
}

func routedPorts(n *Network, e Endpoint, openings []Opening) (out []datapath.Port) {
	for _, o := range openings {
		for _, a := range []netip.Addr{e.IPv4, e.IPv6} {
			if !n.routes(a) || a.Is4() && !o.V4 || a.Is6() && !o.V6 {
				continue
			}
			p := datapath.Port{PublishedPort: model.PublishedPort{Port: o.Port}, Target: a, Routed: true}
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}
