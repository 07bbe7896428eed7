// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/health"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/policy"
)

// keeper is an Owner that keeps the last of each service, as package wanted does.
type keeper map[string]datapath.Service

func (k keeper) ExpectService(s datapath.Service)                                    { k[s.ID] = s }
func (k keeper) DeleteService(_ context.Context, id string) error                    { delete(k, id); return nil }
func (keeper) Mend(context.Context, string, func(context.Context) error) (err error) { return err }
func (keeper) Report(string, error)                                                  {}
func (k keeper) PutService(_ context.Context, s datapath.Service) error {
	k[s.ID] = s
	return nil
}

// crowd is a Manager with that many services in front of what pick says.
func crowd(services int, members []Member, pick func(i int, s *model.Service)) (*Manager, keeper) {
	k := make(keeper)
	m := New(Config{Owner: k, Probe: func(context.Context, health.Target) error { return nil }})
	var all []*model.Service
	for i := range services {
		all = append(all, svc(fmt.Sprint("s", i), func(s *model.Service) {
			s.Networks[0].IPv4 = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
			pick(i, s)
		}))
	}
	m.Load(all, members)
	m.Begin(context.Background())
	return m, k
}

// addresses are ten outside for each service.
func addresses(i int, s *model.Service) {
	for j := range 10 {
		n := i*10 + j
		s.Backends = append(s.Backends, model.ServiceBackend{Addr: netip.AddrFrom4([4]byte{192, byte(n >> 16), byte(n >> 8), byte(n)}), Weight: 1})
	}
}

// shared are ten of a thousand sandboxes.
func shared(i int, s *model.Service) {
	for j := range 10 {
		s.Backends = append(s.Backends, model.ServiceBackend{Name: fmt.Sprint("box", (i*10+j)%1000), Weight: 1})
	}
}

// labelled are those that have a label of the service's.
func labelled(i int, s *model.Service) { s.Selector = map[string]string{"app": s.Name} }

func checked(pick func(int, *model.Service)) func(int, *model.Service) {
	return func(i int, s *model.Service) {
		pick(i, s)
		s.Health = model.Health{Kind: model.HealthTCP, Interval: time.Hour, Timeout: time.Second, Rise: 1, Fall: 1}
	}
}

func memberOf(n int, app string) Member {
	id := fmt.Sprintf("%064d", n)
	return Member{ID: id, Name: fmt.Sprint("box", n), Labels: map[string]string{"app": app}, Endpoints: []policy.Reach{{
		EndpointID: id, NetworkID: "front", IPv4: netip.AddrFrom4([4]byte{10, byte(2 + n>>16), byte(n >> 8), byte(n)}),
	}}}
}

// TestMemoryOfManyServices keeps 10,000 services of 10 backends within a daemon's 128 MiB.
func TestMemoryOfManyServices(t *testing.T) {
	var boxes []Member
	for n := range 1000 {
		boxes = append(boxes, memberOf(n, "any"))
	}
	for what, pick := range map[string]func(int, *model.Service){
		"addresses": addresses, "sandboxes": shared, "checked sandboxes": checked(shared),
	} {
		before := heap()
		m, k := crowd(10000, boxes, pick)
		mib := float64(heap()-before) / (1 << 20)
		if len(k) != 10000 || len(k["s9999"].Pools[0].Backends) != 10 {
			t.Errorf("%s: %d services were told", what, len(k))
		}
		t.Logf("%s: %.0f MiB", what, mib)
		if mib > 100 {
			t.Errorf("%s: %.0f MiB, want at most 100", what, mib)
		}
		m.Close()
	}
}

// heap is what is in use, in bytes.
func heap() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// BenchmarkOneBackendOfThousand takes one out of a service of 1,000, and in again, beside
// 10,000 other services.
func BenchmarkOneBackendOfThousand(b *testing.B) {
	m, _ := crowd(10000, nil, labelled)
	defer m.Close()
	ctx := context.Background()
	if err := m.Put(ctx, svc("large", selecting("app", "large"))); err != nil {
		b.Fatal(err)
	}
	for n := range 1000 {
		m.SetMember(ctx, memberOf(100000+n, "large"))
	}
	mb := memberOf(100500, "large")
	for b.Loop() {
		m.RemoveMember(ctx, mb.ID)
		m.SetMember(ctx, mb)
	}
}
