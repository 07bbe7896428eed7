// SPDX-License-Identifier: Apache-2.0

package request

import (
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/ports"
)

// maxPortSpecs bounds what the ranges of one request expand to: every port of
// the three protocols on one address.
const maxPortSpecs = 3 * 65535

// PortSpecs returns the published ports, ranges expanded. Errors are ErrInvalid
// and name the value.
func (c *SandboxConfig) PortSpecs() ([]model.PortSpec, error) {
	var all []model.PortSpec
	for _, s := range c.Publish {
		specs, err := ports.ParseSpec(s)
		if err != nil {
			return nil, Mark(ErrInvalid, err)
		}
		if len(all)+len(specs) > maxPortSpecs {
			return nil, Errorf(ErrInvalid, "publish %q: more than %d ports for one sandbox", s, maxPortSpecs)
		}
		all = append(all, specs...)
	}
	return all, nil
}

// Exposed returns the exposed ports, ranges expanded and each port once. Errors
// are ErrInvalid and name the value.
func (c *SandboxConfig) Exposed() ([]model.Port, error) {
	var all []model.Port
	seen := make(map[model.Port]bool)
	for _, s := range c.Expose {
		list, err := ports.ParseExpose(s)
		if err != nil {
			return nil, Mark(ErrInvalid, err)
		}
		for _, p := range list {
			if !seen[p] {
				seen[p] = true
				all = append(all, p)
			}
		}
	}
	return all, nil
}
