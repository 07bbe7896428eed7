// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"errors"
	"slices"
)

// Inherited reports whether rules of an earlier daemon were there, with this root or
// another one. It implements datapath.Inheriting.
func (d *Datapath) Inherited() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.kernel[:], func(k kernel) bool { return k.inherited })
}

// GiveBack takes this instance's name out of the journals of another one. It implements
// datapath.Inheriting.
func (d *Datapath) GiveBack(ctx context.Context) error {
	return d.inside(ctx, func(ctx context.Context) error {
		var errs []error
		for _, f := range families {
			if !d.kernel[f].anothers {
				continue
			}
			s := new(script)
			for _, table := range tableOrder {
				s.del(markRule(table, d.state.instance))
			}
			errs = append(errs, d.bins.apply(ctx, f, s))
		}
		return errors.Join(errs...)
	})
}
