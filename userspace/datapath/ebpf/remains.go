// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// Remains is what an earlier process left, where it is only to be removed. It loads
// nothing, so that a host can leave this datapath whose programs don't load any more,
// and says nothing to those that are attached: they work on until Uninstall.
type Remains struct{ cfg Config }

var _ datapath.Datapath = (*Remains)(nil)

// NewRemains touches nothing. Of cfg only the directories and Others count.
func NewRemains(cfg Config) *Remains { return &Remains{cfg} }

// Uninstall removes every program, map and directory of the instance.
func (r *Remains) Uninstall(context.Context) error {
	return errors.Join(
		loader.Remove(loader.Config{Dir: r.cfg.BPFFS, RunDir: r.cfg.RunDir, Others: r.cfg.Others}),
		strictness{dir: r.cfg.RunDir}.restore(),
	)
}

// EnsureEndpoint refuses: with nothing loaded a new device would come up unguarded.
func (r *Remains) EnsureEndpoint(_ context.Context, e datapath.Endpoint) error {
	return fmt.Errorf("endpoint %s: the ebpf datapath is only being removed", e.ID)
}

// Mode returns datapath.EBPF.
func (r *Remains) Mode() datapath.Mode { return datapath.EBPF }

// EnsureHost does nothing.
func (r *Remains) EnsureHost(context.Context, datapath.Host) error { return nil }

// EnsureNetwork does nothing.
func (r *Remains) EnsureNetwork(context.Context, datapath.Network) error { return nil }

// DeleteNetwork does nothing.
func (r *Remains) DeleteNetwork(context.Context, string) error { return nil }

// DeleteEndpoint does nothing: the programs go with the device.
func (r *Remains) DeleteEndpoint(context.Context, string) error { return nil }

// EnsurePorts does nothing.
func (r *Remains) EnsurePorts(context.Context, string, []datapath.Port) error { return nil }

// EnsureResolver does nothing.
func (r *Remains) EnsureResolver(context.Context, datapath.Resolver) error { return nil }

// DeleteResolver does nothing.
func (r *Remains) DeleteResolver(context.Context, string) error { return nil }

// Prune does nothing.
func (r *Remains) Prune(context.Context, datapath.Desired) error { return nil }

// Flows tells of none.
func (r *Remains) Flows(context.Context) iter.Seq2[datapath.Flow, error] {
	return func(func(datapath.Flow, error) bool) {}
}

// Stats counts nothing.
func (r *Remains) Stats(context.Context) (datapath.Stats, error) { return datapath.Stats{}, nil }

// Status tells of nothing but the mode.
func (r *Remains) Status(context.Context) (datapath.Status, error) {
	return datapath.Status{Mode: datapath.EBPF}, nil
}

// Close does nothing.
func (r *Remains) Close() error { return nil }
