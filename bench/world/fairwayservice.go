// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"fmt"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// serve makes a service as a user does.
func (c *fairway) serve(ctx context.Context, s Service, _ []*node) error {
	spec := request.ServiceSpec{Backends: s.Containers}
	for i := range s.Ports {
		spec.Ports = append(spec.Ports, fmt.Sprint(int(s.First)+i))
	}
	if s.Published != 0 {
		spec.Publish = []string{fmt.Sprintf("%d:%d", s.Published, s.First)}
	}
	_, err := c.client.CreateService(ctx, request.ServiceCreate{
		Name: s.Name, Networks: []string{benchNetwork}, IPv4: s.Address(), ServiceSpec: spec,
	})
	if err != nil {
		return err
	}
	backends, err := c.client.ServiceBackends(ctx, s.Name, nil)
	for _, b := range backends {
		if b.State != model.BackendActive {
			return fmt.Errorf("backend %s is %s: %s", b.Sandbox, b.State, b.Reason)
		}
	}
	return err
}
