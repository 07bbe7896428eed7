// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"iter"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// fronts are services by the addresses and ports that lead to them. A published port may be
// of all the host's addresses.
type fronts map[front]fronted

// fronted is the service behind a front; without an ID there is none.
type fronted struct{ id, name string }

type front struct {
	addr  netip.Addr
	port  uint16
	proto uint8
}

func frontsOf(services iter.Seq[request.ServiceView]) fronts {
	all := make(fronts)
	for s := range services {
		is := fronted{s.ID, s.Name}
		for _, n := range s.Service.Networks {
			for _, p := range s.Ports {
				all[front{n.IPv4, p.Port.Num, uint8(p.Port.Proto)}] = is
				all[front{n.IPv6, p.Port.Num, uint8(p.Port.Proto)}] = is
			}
		}
		for _, p := range s.Published {
			all[front{p.HostIP, p.HostPort, uint8(p.Port.Proto)}] = is
		}
	}
	delete(all, front{})
	return all
}

// everyonesServices are those of all owners.
func (e *Engine) everyonesServices(ctx context.Context) iter.Seq[request.ServiceView] {
	return request.Chain(e.Services(ctx), slices.Values(e.Wanted.Carried(ctx).Services))
}

// unserved are the names of services without a backend that serves.
func unserved(all iter.Seq[request.ServiceView]) (names []string) {
	for s := range all {
		if !slices.ContainsFunc(s.Backends, func(b request.ServiceBackendView) bool { return b.State == model.BackendActive }) {
			names = append(names, s.Name)
		}
	}
	return names
}

// of returns the service that a connection was opened to. One that isn't
// translated leads to none: it may have the port of another host.
func (all fronts) of(f datapath.Flow) fronted {
	if len(all) == 0 || f.Dst == f.NATDst {
		return fronted{}
	}
	to := front{f.Dst.Addr(), f.Dst.Port(), f.Proto}
	if s, is := all[to]; is {
		return s
	}
	to.addr = netip.IPv4Unspecified()
	if f.Dst.Addr().Is6() {
		to.addr = netip.IPv6Unspecified()
	}
	return all[to]
}
