// SPDX-License-Identifier: Apache-2.0

package services

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/stat"
	"github.com/fairway-project/fairway/bench/world"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// follow adds a backend to a service and takes it away again.
type follow struct {
	host
	backends int
	target   netip.AddrPort
	others   []string
}

// How new flows are looked at.
const (
	probeEvery = 50 * time.Microsecond
	patience   = time.Minute
)

// outside is where backends are that refuse every flow.
var outside = netip.MustParsePrefix("10.99.0.0/16")

func (f *follow) start(ctx context.Context) error {
	if err := f.build(ctx, plan.ContainerToContainer, world.Container{Name: "c0"}, world.Container{Name: "c1"}); err != nil {
		return err
	}
	if err := f.world.AnswerBeyondLAN(outside); err != nil {
		return err
	}
	at := netip.AddrPortFrom(f.ends.Server.Addr, firstPort)
	if _, err := f.server.Serve(ctx, load.Service{Kind: load.CRR, Addr: at, Flows: 2}); err != nil {
		return err
	}
	addr := outside.Addr()
	for range f.backends {
		addr = addr.Next()
		f.others = append(f.others, addr.String())
	}
	s := world.Service{Name: "web"}
	f.target = netip.AddrPortFrom(s.Address(), firstPort)
	_, err := f.world.Client().CreateService(ctx, request.ServiceCreate{
		Name: s.Name, Networks: []string{world.Network}, IPv4: s.Address(),
		ServiceSpec: request.ServiceSpec{Ports: []string{fmt.Sprint(firstPort)}, Backends: f.others},
	})
	if err != nil {
		return err
	}
	return f.ready(ctx)
}

// Slice implements plan.Instance: at least one backend that comes and goes.
func (f *follow) Slice(ctx context.Context, d time.Duration) (plan.Sample, error) {
	var came, went []float64
	for end := time.Now().Add(d); len(came) == 0 || time.Now().Before(end); {
		there, gone, err := f.once(ctx)
		if err != nil {
			return plan.Sample{}, fmt.Errorf("%s: %w", f.arm, err)
		}
		came, went = append(came, float64(there.Nanoseconds())), append(went, float64(gone.Nanoseconds()))
	}
	return plan.Sample{Values: []float64{stat.Median(came), stat.Median(went)}, Ops: uint64(len(came))}, nil
}

func (f *follow) once(ctx context.Context) (came, went time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	with := append([]string{fmt.Sprintf("c0,weight=%d", model.MaxWeight)}, f.others...)
	if came, err = f.change(ctx, load.Probe{Target: f.target, Every: probeEvery, Timeout: patience}, with); err != nil {
		return 0, 0, err
	}
	went, err = f.change(ctx, load.Probe{Target: f.target, Every: probeEvery, Timeout: patience, Gone: true}, f.others)
	return came, went, err
}

// change is from the call until the probe has seen what it is for.
func (f *follow) change(ctx context.Context, p load.Probe, backends []string) (time.Duration, error) {
	if err := f.client.Probe(ctx, p); err != nil {
		return 0, err
	}
	begun := load.Clock()
	if _, err := f.world.Client().UpdateService(ctx, "web", request.ServiceUpdate{Backends: &backends}); err != nil {
		return 0, err
	}
	answer, err := f.client.Await(ctx)
	if err != nil {
		return 0, err
	}
	if !p.Gone && answer.At < begun {
		return 0, fmt.Errorf("%w: the backend answered before it was there", plan.ErrWrongWay)
	}
	// SYN, acknowledgement and FIN of one, SYN/ACK and FIN.
	f.traffic.ToServer += 3
	f.traffic.Packets += 5
	// The last flow may have begun before the call.
	return max(answer.At-begun, 0), nil
}
