// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
)

// portRun is a range of ports that are published under their own numbers on
// one address, or exposed only where addr is the zero Addr.
type portRun struct {
	addr        netip.Addr
	proto       model.Proto
	first, last uint16
}

func (r portRun) String() string {
	ports := strconv.Itoa(int(r.first))
	if r.first != r.last {
		ports += "-" + strconv.Itoa(int(r.last))
	}
	if !r.addr.IsValid() {
		return ports + "/" + r.proto.String()
	}
	return net.JoinHostPort(r.addr.String(), ports) + "->" + ports + "/" + r.proto.String()
}

// portsText is Docker's PORTS column: neighbouring ports that are published
// under their own numbers are one range, all others stand alone after them.
func portsText(ports []api.PortBinding) string {
	ports = slices.Clone(ports)
	slices.SortFunc(ports, func(a, b api.PortBinding) int {
		return cmp.Or(cmp.Compare(a.ContainerPort, b.ContainerPort), a.HostIP.Compare(b.HostIP),
			cmp.Compare(a.HostPort, b.HostPort), cmp.Compare(a.Proto, b.Proto))
	})
	var done, open []portRun
	var mapped []string
	for _, p := range ports {
		if p.HostIP.IsValid() && p.HostPort != p.ContainerPort {
			mapped = append(mapped, hostAddr(p)+"->"+containerPort(p))
			continue
		}
		i := slices.IndexFunc(open, func(r portRun) bool { return r.addr == p.HostIP && r.proto == p.Proto })
		run := portRun{p.HostIP, p.Proto, p.ContainerPort, p.ContainerPort}
		switch {
		case i < 0:
			open = append(open, run)
		case p.ContainerPort == open[i].last+1:
			open[i].last++
		default:
			done = append(done, open[i])
			open[i] = run
		}
	}
	var list []string
	for _, r := range append(done, open...) {
		list = append(list, r.String())
	}
	return strings.Join(append(list, mapped...), ", ")
}

func hostAddr(p api.PortBinding) string {
	return netip.AddrPortFrom(p.HostIP, p.HostPort).String()
}

func containerPort(p api.PortBinding) string {
	return fmt.Sprintf("%d/%s", p.ContainerPort, p.Proto)
}
