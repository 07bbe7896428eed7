// SPDX-License-Identifier: Apache-2.0

package datapath

import (
	"context"
	"fmt"
	"iter"

	"github.com/fairway-project/fairway/userspace/model"
)

// Leaving is the part of a Datapath that is only to be removed: it does nothing, and
// says nothing to what is in the kernel. Who embeds it removes what there is.
type Leaving struct{ Of Mode }

// EnsureEndpoint refuses: with nothing done a new device would come up unguarded.
func (l Leaving) EnsureEndpoint(_ context.Context, e Endpoint) error {
	return fmt.Errorf("endpoint %s: the %s datapath is only being removed", e.ID, l.Of)
}

// Mode returns Of.
func (l Leaving) Mode() Mode { return l.Of }

// EnsureHost does nothing.
func (Leaving) EnsureHost(context.Context, model.Host) error { return nil }

// EnsureNetwork does nothing.
func (Leaving) EnsureNetwork(context.Context, Network) error { return nil }

// DeleteNetwork does nothing.
func (Leaving) DeleteNetwork(context.Context, string) error { return nil }

// DeleteEndpoint does nothing.
func (Leaving) DeleteEndpoint(context.Context, string) error { return nil }

// EnsurePorts does nothing.
func (Leaving) EnsurePorts(context.Context, string, []Port) error { return nil }

// EnsureResolver does nothing.
func (Leaving) EnsureResolver(context.Context, Resolver) error { return nil }

// DeleteResolver does nothing.
func (Leaving) DeleteResolver(context.Context, string) error { return nil }

// Prune does nothing.
func (Leaving) Prune(context.Context, Desired) error { return nil }

// Flows tells of none.
func (Leaving) Flows(context.Context) iter.Seq2[Flow, error] {
	return func(func(Flow, error) bool) {}
}

// Stats counts nothing.
func (Leaving) Stats(context.Context) (Stats, error) { return Stats{}, nil }

// Status tells of nothing but the mode.
func (l Leaving) Status(context.Context) (Status, error) { return Status{Mode: l.Of}, nil }

// Close does nothing.
func (Leaving) Close() error { return nil }
