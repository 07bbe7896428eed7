// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// Retire removes what another datapath left from before the mode was changed.
// It is called after Start, so that the present datapath guards everything
// already.
func (e *Engine) Retire(ctx context.Context, old datapath.Datapath) error {
	// The old one has never heard of the sandboxes: it must know in which
	// namespaces its rules for the resolvers are.
	var errs []error
	for _, sb := range e.state.bySeniority() {
		if r := e.resolvers.get(sb.ID); r != nil && sb.State.Status == model.StatusRunning {
			errs = append(errs, old.EnsureResolver(ctx, datapathResolver(sb, r)))
		}
	}
	errs = append(errs, old.Uninstall(ctx))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// It put settings back that the present one needs, forwarding for one.
	if err := e.datapath.EnsureHost(ctx, e.facts.hostNow()); err != nil {
		return err
	}
	e.restoreNetworks(ctx)
	return nil
}
