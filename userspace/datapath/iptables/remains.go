// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// Remains are the rules of an earlier process, where they are only to be removed. It
// adds none, so that another instance's stay as they are.
type Remains struct {
	datapath.Leaving
	d *Datapath
}

var _ datapath.Datapath = (*Remains)(nil)

// NewRemains is New for what is only to be removed.
func NewRemains(o Options) (*Remains, error) {
	d, err := New(o)
	if err != nil {
		return nil, err
	}
	return &Remains{datapath.Leaving{Of: datapath.IPTables}, d}, nil
}

// EnsureResolver tells in which namespace rules for a resolver are.
func (r *Remains) EnsureResolver(ctx context.Context, of datapath.Resolver) error {
	return r.d.EnsureResolver(ctx, of)
}

// DeleteResolver removes the rules for a resolver.
func (r *Remains) DeleteResolver(ctx context.Context, sandboxID string) error {
	return r.d.DeleteResolver(ctx, sandboxID)
}

// Uninstall removes the instance's rules.
func (r *Remains) Uninstall(ctx context.Context) error { return r.d.Uninstall(ctx) }

// Close ends nothing but r.
func (r *Remains) Close() error { return r.d.Close() }
