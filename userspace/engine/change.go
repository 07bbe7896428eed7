// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/store"
)

// change is one edit of the desired state, done as a whole or not at all.
type change struct {
	networks      []*model.Network
	sandboxes     []*model.Sandbox
	endpoints     []*model.Endpoint
	services      []*model.Service
	goneNetworks  []string
	goneSandboxes []string
	goneEndpoints []*model.Endpoint
	goneServices  []*model.Service
}

func (c change) save(tx *store.Tx) error {
	var errs []error
	for _, n := range c.networks {
		errs = append(errs, tx.PutNetwork(n))
	}
	for _, sb := range c.sandboxes {
		errs = append(errs, tx.PutSandbox(sb))
	}
	for _, ep := range c.endpoints {
		errs = append(errs, tx.PutEndpoint(ep))
	}
	for _, s := range c.services {
		errs = append(errs, tx.PutService(s))
	}
	for _, s := range c.goneServices {
		errs = append(errs, tx.DeleteService(s.ID))
	}
	for _, ep := range c.goneEndpoints {
		errs = append(errs, tx.DeleteEndpoint(ep.ID))
	}
	for _, id := range c.goneSandboxes {
		errs = append(errs, tx.DeleteSandbox(id))
	}
	for _, id := range c.goneNetworks {
		errs = append(errs, tx.DeleteNetwork(id))
	}
	return errors.Join(errs...)
}
