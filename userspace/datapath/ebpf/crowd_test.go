// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// crowdedService has so many backends outside, and an address of its own.
func crowdedService(i, backends int) datapath.Service {
	at := netip.AddrFrom4([4]byte{172, 20, byte(1 + i>>8), byte(i)})
	s := datapath.Service{
		ID: fmt.Sprint("service", i), Name: fmt.Sprint("service", i), Pools: make([]datapath.Pool, 1),
		Fronts: []datapath.Front{{NetworkID: "net1", Addr: at, Port: model.Port{Num: 80, Proto: model.TCP}}},
	}
	for b := range backends {
		to := netip.AddrFrom4([4]byte{10, 200, byte(b >> 8), byte(b)})
		s.Pools[0].Backends = append(s.Pools[0].Backends, datapath.Backend{Target: netip.AddrPortFrom(to, uint16(i)), Weight: 1, State: model.BackendActive})
	}
	return s
}

// BenchmarkService makes a service of ten backends.
func BenchmarkService(b *testing.B) {
	w := newWorld(b)
	w.ensure(w.networkIs(w.network()))
	n := 0
	for b.Loop() {
		n++
		w.ensure(w.serviceIs(crowdedService(n, 10)))
	}
}

// BenchmarkOneBackendOfThousand takes one out of a service, or in again.
func BenchmarkOneBackendOfThousand(b *testing.B) {
	w := newWorld(b)
	w.ensure(w.networkIs(w.network()))
	all, less := crowdedService(1, 1000), crowdedService(1, 999)
	for more := true; b.Loop(); more = !more {
		if more {
			w.ensure(w.serviceIs(all))
		} else {
			w.ensure(w.serviceIs(less))
		}
	}
}

// BenchmarkEndpointAmongStrangers adds an endpoint and removes it, where devices are guarded
// whose endpoints nobody knows yet, as while many containers start at once.
func BenchmarkEndpointAmongStrangers(b *testing.B) {
	for _, strangers := range []int{0, 200} {
		b.Run(fmt.Sprint(strangers), func(b *testing.B) {
			w := newWorld(b)
			w.ensure(w.networkIs(w.network()))
			e := w.endpoint(1)
			for n := range strangers {
				name := fmt.Sprint("stranger", n)
				index := w.veth(name, true)
				w.ensure(func(ctx context.Context) error { return w.dp.Guard(ctx, name, index) })
			}
			for b.Loop() {
				w.ensure(w.endpointIs(e), w.endpointGone(e.ID))
			}
		})
	}
}

// Who comes gets no index that programs may know as another's, as long as there is room.
func TestFreeIndicesWait(t *testing.T) {
	s := crowdedService(1, 6)
	want := s.Pools[0].Backends
	active := func(b datapath.Backend) service.Backend {
		return service.Backend{Target: b.Target, State: service.Active}
	}
	over := make(chan struct{})
	p := &pool{fresh: make(map[int]bool), freed: service.Pending{over}}
	indexOf := func(want []datapath.Backend, who datapath.Backend) uint16 {
		next, members, err := p.arrange(want, active)
		if err != nil {
			t.Fatal(err)
		}
		p.backends = next
		for _, m := range members {
			if next[m.index-1].Target == who.Target {
				return m.index
			}
		}
		return 0
	}
	equal(t, "the third index", indexOf(want[:3], want[2]), 3)
	p.free(p.backends, 0)
	p.free(p.backends, 1)
	// A table for three has room for three, one for four for seven.
	go close(over)
	equal(t, "index of one for whom there is room nowhere else", indexOf(want[2:4], want[3]), 1)
	never := make(chan struct{})
	p.freed = service.Pending{never}
	p.backends = append(p.backends, active(want[0]))
	p.backends[1] = active(want[1])
	p.free(p.backends, 1)
	equal(t, "index while another may be known", indexOf(want[2:5], want[4]), 5)
	close(never)
	equal(t, "index when it isn't", indexOf(want[2:6], want[5]), 2)
}
