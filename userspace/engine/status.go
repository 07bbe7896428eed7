// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// Status tells how the daemon and its datapath are.
func (e *Engine) Status(ctx context.Context) (request.Status, error) {
	s := request.Status{
		Version: e.Version, Pid: os.Getpid(), Started: e.started, Kernel: kernelRelease(),
		Root: e.Root, RunDir: e.RunDir, BPFFS: e.BPFFS, Metrics: e.metricsAddress(),
		Uplinks: []string{}, Degraded: e.Degraded(),
	}
	for _, u := range e.facts.hostNow().Uplinks {
		s.Uplinks = append(s.Uplinks, u.Name)
	}
	e.state.count(&s)
	s.Carried = e.Wanted.Carried(ctx).Counts()
	s.Services, s.Unserved = len(e.state.allServices()), unserved(e.everyonesServices(ctx))
	var statusErr, statsErr, countErr error
	// In this order: reading the counters may mend what the status would complain of.
	s.Stats, statsErr = e.datapath.Stats(ctx)
	s.RecentDrops = e.drops.recent(time.Now(), s.Stats.Drops)
	s.ServiceConnections, countErr = e.serviceConnections(ctx)
	s.Datapath, statusErr = e.datapath.Status(ctx)
	return s, errors.Join(statusErr, statsErr, countErr)
}

// Degraded has a sentence for each thing that isn't as it should be, whoever's it is.
func (e *Engine) Degraded() []string { return e.Wanted.Degraded() }

// Carried returns what other owners have.
func (e *Engine) Carried(ctx context.Context) (request.Carried, error) {
	return e.Wanted.Carried(ctx), nil
}

// namesOf returns whose endpoint it is.
func (e *Engine) namesOf(endpointID string) (owner, network string) {
	if owner, network = e.state.namesOf(endpointID); network == "" {
		return e.Wanted.NamesOf(endpointID)
	}
	return owner, network
}

func (e *Engine) metricsAddress() string {
	if e.Metrics == nil {
		return ""
	}
	return e.Metrics()
}

func (st *state) count(s *request.Status) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	s.Networks, s.Sandboxes = len(st.networks), len(st.sandboxes)
	for _, ep := range st.endpoints {
		if ep.Host == "" {
			s.Endpoints++
		}
	}
	for _, sb := range st.sandboxes {
		s.Ports += len(sb.Published)
		if sb.State.Status == model.StatusRunning {
			s.Running++
		}
	}
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// Stats reads the datapath's counters since it was set up.
func (e *Engine) Stats(ctx context.Context) (datapath.Stats, error) { return e.datapath.Stats(ctx) }

// Flows lists the tracked connections with the names that belong to them.
func (e *Engine) Flows(ctx context.Context) iter.Seq2[request.FlowView, error] {
	return func(yield func(request.FlowView, error) bool) {
		services := frontsOf(e.everyonesServices(ctx))
		for f, err := range e.datapath.Flows(ctx) {
			v := request.FlowView{Flow: f}
			v.Sandbox, v.Network = e.namesOf(f.EndpointID)
			v.Opener, v.Target = e.flowEnd(f.OpenerID), e.flowEnd(f.TargetID)
			v.Service = services.of(f).name
			if !yield(v, err) {
				return
			}
		}
	}
}

func (e *Engine) flowEnd(endpointID string) request.FlowEnd {
	if endpointID == "" {
		return request.FlowEnd{}
	}
	end := request.FlowEnd{EndpointID: endpointID}
	end.Sandbox, end.Network = e.namesOf(endpointID)
	return end
}

func (s *state) namesOf(endpointID string) (sandbox, network string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ep := s.endpoints[endpointID]
	if ep == nil {
		return "", ""
	}
	if sb := s.sandboxes[ep.SandboxID]; sb != nil {
		sandbox = sb.Name
	}
	if n := s.networks[ep.NetworkID]; n != nil {
		network = n.Name
	}
	return sandbox, network
}

// Doctor checks the host as the daemon sees it.
func (e *Engine) Doctor(ctx context.Context) ([]request.Check, error) {
	if e.Config.Doctor == nil {
		return nil, fmt.Errorf("doctor: this daemon was built without checks")
	}
	return e.Config.Doctor(ctx)
}
