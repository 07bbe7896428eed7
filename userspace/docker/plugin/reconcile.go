// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/link"
)

// reconcileEvery is the pause between two attempts to ask Docker.
const reconcileEvery = 3 * time.Second

// startReconcile removes, as soon as Docker answers, the networks that the
// driver has and Docker has deleted while the driver was away, and the endpoints that it
// gave up: it goes on when the driver doesn't answer, and never tells again. Those
// that are made from now on may not be listed yet, and aren't looked at.
func (d *Driver) startReconcile(ctx context.Context) error {
	left := d.joined()
	if d.Docker == "" || len(left) == 0 {
		return nil
	}
	c, err := client.New(d.Docker)
	if err != nil {
		return err
	}
	d.background.Go(func() {
		defer c.Close()
		d.reconcile(ctx, c, left)
	})
	return nil
}

// joined returns all networks, each with its endpoints that were joined.
func (d *Driver) joined() map[string][]string {
	all := make(map[string][]string)
	for id := range d.records.Networks {
		all[id] = nil
	}
	for id, e := range d.records.Endpoints {
		if e.SandboxKey != "" {
			all[e.NetworkID] = append(all[e.NetworkID], id)
		}
	}
	return all
}

func (d *Driver) reconcile(ctx context.Context, c *client.Client, left map[string][]string) {
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	for {
		err := d.compare(ctx, c, left)
		if err == nil {
			return
		}
		d.Log.Debug("docker plugin: docker is asked again for its networks", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// compare removes what is left, networks with their endpoints, and Docker doesn't
// know. With an error some is left for another attempt.
func (d *Driver) compare(ctx context.Context, c *client.Client, left map[string][]string) error {
	known, err := listed(ctx, c)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(left)) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if known[id] {
			err = d.removeGivenUp(ctx, c, id, left[id])
		} else {
			err = d.removeUnknown(ctx, id)
		}
		if err == nil {
			delete(left, id)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func listed(ctx context.Context, c *client.Client) (map[string]bool, error) {
	if err := c.Connect(ctx); err != nil {
		return nil, err
	}
	list, err := c.Networks(ctx)
	known := make(map[string]bool)
	for _, n := range list {
		known[n.ID] = true
	}
	return known, err
}

func (d *Driver) removeUnknown(ctx context.Context, id string) error {
	err := d.deleteNetwork(context.WithoutCancel(ctx), networkRef{id})
	d.owner.Report("removal of network "+shortID(id), err)
	if err != nil {
		return err
	}
	d.Log.Info("docker plugin: network that docker doesn't know is removed", "network", shortID(id))
	return nil
}

// removeGivenUp removes those of a network's endpoints that Docker doesn't have any
// more.
func (d *Driver) removeGivenUp(ctx context.Context, c *client.Client, networkID string, endpoints []string) error {
	if len(endpoints) == 0 {
		return nil
	}
	n, err := c.Network(ctx, networkID)
	if err != nil {
		return err
	}
	has := make(map[string]bool)
	for _, e := range n.Containers {
		has[e.EndpointID] = true
	}
	var errs []error
	for _, id := range endpoints {
		var err error
		if !has[id] {
			err = d.removeVacated(context.WithoutCancel(ctx), id)
		}
		// Not what the endpoint is called: that may be mended, which goes on.
		d.owner.Report("removal of endpoint "+shortID(id), err)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// removeVacated removes an endpoint that Docker doesn't list, unless its device is in
// a container: an engine that can't read its own store lists none, without an error.
func (d *Driver) removeVacated(ctx context.Context, id string) error {
	leave, err := d.enter()
	if err != nil {
		return err
	}
	defer leave()
	e := d.records.Endpoints[id]
	if e == nil {
		return nil
	}
	if vacated, err := d.vacated(e); err != nil || !vacated {
		return err
	}
	if err := d.removeEndpoint(ctx, e); err != nil {
		return err
	}
	d.Log.Info("docker plugin: endpoint that docker doesn't know is removed", "endpoint", shortID(id))
	return nil
}

// vacated reports whether the endpoint's inner device is back in the host's
// namespace, where Docker puts it, under its first name, when it leaves a container.
func (d *Driver) vacated(e *endpoint) (bool, error) {
	_, err := d.Links.Find(e.IfName)
	if errors.Is(err, link.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("endpoint %s: %w", shortID(e.ID), err)
	}
	return true, nil
}
