// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"sync"

	"github.com/fairway-project/fairway/userspace/request"
)

// gate is where everything that makes a network, a sandbox or an endpoint comes in.
// An uninstall shuts it: what came in behind its back would stay.
type gate struct {
	mu     sync.Mutex
	shut   bool
	inside sync.WaitGroup
}

// enter lets one in who calls leave when it is done, or says why not.
func (g *gate) enter() (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return nil, request.Errorf(request.ErrUnavailable, "fairway is being uninstalled: nothing new is made")
	}
	g.inside.Add(1)
	return g.inside.Done, nil
}

// close lets nobody in any more and waits for those inside. Only one can close it.
func (g *gate) close() error {
	g.mu.Lock()
	if g.shut {
		g.mu.Unlock()
		return request.Errorf(request.ErrConflict, "fairway is being uninstalled already")
	}
	g.shut = true
	g.mu.Unlock()
	g.inside.Wait()
	return nil
}

// closed reports whether an uninstall is under way.
func (g *gate) closed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// open is for an uninstall that failed: the daemon goes on.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}
