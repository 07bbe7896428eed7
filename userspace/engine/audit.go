// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/model"
)

// logRun logs a sandbox that runs, with what it was made with.
func (e *Engine) logRun(sb *model.Sandbox, all []attachment) {
	e.audit.SandboxRun(sb)
	for _, a := range all {
		e.audit.EndpointConnected(auditOf(sb, a))
	}
	e.audit.Ports(sb.Name, nil, sb.Published)
}

// logEnd logs a sandbox that ended, and what ended with it.
func (e *Engine) logEnd(was, now *model.Sandbox, all []attachment) {
	if was.State.Status == model.StatusCreated {
		// It never ran, and was never logged.
		return
	}
	e.audit.Ports(was.Name, was.Published, nil)
	for _, a := range all {
		e.audit.EndpointDisconnected(auditOf(was, a))
	}
	e.audit.SandboxEnded(now)
}

// logTakenOver counts what the state had.
func (e *Engine) logTakenOver() {
	var sandboxes, endpoints, ports int
	for _, sb := range e.state.bySeniority() {
		sandboxes++
		endpoints += len(e.state.attachments(sb.ID))
		ports += len(sb.Published)
	}
	e.audit.TakenOver(e.state.networkCount(), sandboxes, endpoints, ports, len(e.state.allServices()))
}

func (s *state) networkCount() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.networks)
}

func auditOf(sb *model.Sandbox, a attachment) audit.Endpoint {
	return audit.Endpoint{ID: a.ep.ID, Sandbox: sb.Name, Network: a.net.Name, IPv4: a.ep.IPv4.Addr(), IPv6: a.ep.IPv6.Addr()}
}
