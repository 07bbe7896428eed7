// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/docker/client"
)

// reconcileEvery is the pause between two attempts to ask Docker.
const reconcileEvery = 3 * time.Second

// startReconcile removes, as soon as Docker answers, the networks of the driver's
// file that Docker has deleted while the driver was away. Those that are made from
// now on may not be listed yet, and aren't looked at.
func (d *Driver) startReconcile(ctx context.Context) error {
	ids := slices.Sorted(maps.Keys(d.file.Networks))
	if d.Docker == "" || len(ids) == 0 {
		return nil
	}
	c, err := client.New(d.Docker)
	if err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = cancel
	d.background.Go(func() {
		defer c.Close()
		d.reconcile(running, c, ids)
	})
	return nil
}

func (d *Driver) reconcile(ctx context.Context, c *client.Client, ids []string) {
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	for {
		known, err := listed(ctx, c)
		if err == nil {
			d.removeUnknown(ctx, ids, known)
			return
		}
		d.Log.Debug("docker plugin: docker doesn't answer yet", "err", err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
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

func (d *Driver) removeUnknown(ctx context.Context, ids []string, known map[string]bool) {
	for _, id := range ids {
		if known[id] || ctx.Err() != nil {
			continue
		}
		err := d.deleteNetwork(context.WithoutCancel(ctx), networkRef{id})
		d.Log.Info("docker plugin: network that docker doesn't know is removed", "network", shortID(id), "err", err)
	}
}
