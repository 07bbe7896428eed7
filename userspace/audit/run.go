// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairway-project/fairway/userspace/model"
)

// run is a range of publications whose ports rise together.
type run struct {
	first model.PublishedPort
	// more is how many follow the first.
	more uint16
}

// runs puts publications into ranges, in the order of their host ports. It reorders all.
func runs(all []model.PublishedPort) (out []run) {
	slices.SortFunc(all, func(a, b model.PublishedPort) int {
		return cmp.Or(a.HostIP.Compare(b.HostIP), cmp.Compare(a.Port.Proto, b.Port.Proto), cmp.Compare(a.HostPort, b.HostPort))
	})
	for _, p := range all {
		if n := len(out); n > 0 && out[n-1].isBefore(p) {
			out[n-1].more++
			continue
		}
		out = append(out, run{first: p})
	}
	return out
}

func (r run) isBefore(p model.PublishedPort) bool {
	next := r.first
	next.HostPort += r.more + 1
	next.Port.Num += r.more + 1
	return next == p
}

// String is like 0.0.0.0:8080->80/tcp, or [::]:8080-8089->80-89/tcp.
func (r run) String() string {
	if r.more == 0 {
		return r.first.String()
	}
	p := r.first
	return fmt.Sprintf("%s-%d->%d-%d/%s", netip.AddrPortFrom(p.HostIP, p.HostPort), p.HostPort+r.more, p.Port.Num, p.Port.Num+r.more, p.Port.Proto)
}
