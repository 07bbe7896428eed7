// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/plugin"
	"github.com/fairway-project/fairway/userspace/link"
	"github.com/fairway-project/fairway/userspace/store"
)

func (c *Config) checkPlugin() error {
	if c.DockerPlugin == "" {
		return nil
	}
	if !filepath.IsAbs(c.DockerPlugin) || filepath.Ext(c.DockerPlugin) != ".sock" {
		return fmt.Errorf("docker plugin %q: want an absolute path that ends in .sock", c.DockerPlugin)
	}
	if c.Datapath != datapath.EBPF {
		return fmt.Errorf("docker plugin %s: not with datapath %s", c.DockerPlugin, c.Datapath)
	}
	return api.CheckSocketPath(c.DockerPlugin)
}

// openPlugin reads what the network driver for Docker has, if there is to be one,
// or was one whose networks are left: containers may be on them. The engine has to
// know before it looks for leftovers.
func (d *daemon) openPlugin(state *store.Store, links *link.Host, dp datapath.Datapath) error {
	left, err := d.leftToPlugin(state)
	if err != nil || d.config.DockerPlugin == "" && left == 0 {
		return err
	}
	if _, ok := dp.(datapath.Guarding); !ok {
		return fmt.Errorf("docker plugin: datapath %s can't carry its %d networks: remove them, or uninstall", dp.Mode(), left)
	}
	p, err := plugin.New(plugin.Config{
		Store: state, Dir: d.config.Root, Links: links, Wanted: d.wanted, Docker: d.config.Docker, Log: d.log,
		Unserved:    d.config.DockerPlugin == "",
		HostChanged: func(ctx context.Context) error { return d.engine.RefreshHost(ctx) },
	})
	if err != nil {
		return err
	}
	d.plugin = p
	d.onClose(p.Close)
	if d.config.DockerPlugin == "" {
		d.log.Warn("docker's calls to the network driver aren't answered, its networks are carried on", "networks", left, "flag", "--docker-plugin")
	}
	return nil
}

// leftToPlugin counts the networks that a driver has left. An uninstall removes
// them as whatever else is left.
func (d *daemon) leftToPlugin(state *store.Store) (int, error) {
	if d.sweep {
		return 0, nil
	}
	return plugin.Networks(state, d.config.Root)
}

func (d *daemon) startPlugin(ctx context.Context) error {
	if d.plugin == nil {
		return nil
	}
	return d.plugin.Start(ctx)
}

// servePlugin answers Docker from now on, until the function that it returns. Nothing
// after it may refuse the start: what an earlier version kept is put aside.
func (d *daemon) servePlugin(failed chan<- error) (end func(context.Context) error, err error) {
	if d.config.DockerPlugin == "" {
		return func(context.Context) error { return nil }, plugin.SetAside(d.config.Root)
	}
	listener, err := plugin.Listen(d.config.DockerPlugin)
	if err != nil {
		return nil, err
	}
	if err := plugin.SetAside(d.config.Root); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	server := plugin.NewServer(d.plugin, d.log)
	go func() {
		if err := server.Serve(listener); err != nil {
			failed <- err
		}
	}()
	return server.Shutdown, nil
}
