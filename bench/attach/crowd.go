// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/bench/world"
	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

// crowd is a world with a network for many endpoints.
type crowd struct {
	env    plan.Env
	arm    plan.Arm
	world  *world.World
	client *api.Client
	// namespaces that are there, by name.
	namespaces []string
}

// network has room for as many as a bridge has.
const network = "crowd"

func (c *crowd) build(ctx context.Context) (err error) {
	c.world, err = world.New(ctx, c.env, world.Options{Arm: c.arm, Containers: []world.Container{{Name: "c0"}}})
	if err != nil {
		return err
	}
	c.client = c.world.Client()
	_, err = c.client.CreateNetwork(ctx, request.NetworkCreate{
		Name: network, IPAM: []request.IPAMConfig{{Subnet: netip.MustParsePrefix("172.31.0.0/16")}},
	})
	return err
}

func (c *crowd) path(name string) string { return filepath.Join(c.env.Netns, name) }

// namespace makes one that an endpoint can be put in.
func (c *crowd) namespace(name string) error {
	c.namespaces = append(c.namespaces, name)
	return netns.Create(c.path(name))
}

// attach puts an endpoint in a namespace.
func (c *crowd) attach(ctx context.Context, name string) error {
	_, err := c.client.Add(ctx, request.Add{Netns: c.path(name), SandboxConfig: request.SandboxConfig{
		Name: name, Networks: []request.EndpointSettings{{Network: network}},
	}})
	return err
}

// detach takes it away again; the namespace stays.
func (c *crowd) detach(ctx context.Context, name string) error {
	return c.client.Remove(ctx, name, true)
}

// fill makes so many endpoints.
func (c *crowd) fill(ctx context.Context, n int) error {
	for i := range n {
		name := member(i)
		if err := errors.Join(c.namespace(name), c.attach(ctx, name)); err != nil {
			return fmt.Errorf("endpoint %d of %d: %w", i+1, n, err)
		}
	}
	return nil
}

func member(i int) string { return fmt.Sprintf("m%d", i) }

// Close implements plan.Instance.
func (c *crowd) Close() error {
	errs := []error{c.world.Close()}
	for _, name := range c.namespaces {
		errs = append(errs, c.forget(name))
	}
	return errors.Join(errs...)
}

// forget deletes a namespace; one that is gone is no error.
func (c *crowd) forget(name string) error {
	if _, err := os.Lstat(c.path(name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return netns.Delete(c.path(name))
}
