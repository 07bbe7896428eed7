// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker"
	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/docker/firewall"
	"github.com/fairway-project/fairway/userspace/docker/setup"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/store"
)

func (c *Config) checkDocker() error {
	if c.Docker == "" {
		return nil
	}
	if _, err := client.SocketPath(c.Docker); err != nil {
		return err
	}
	if c.Datapath != datapath.EBPF {
		return fmt.Errorf("docker %s: not with datapath %s, which is what Docker does by itself (dockerd --iptables=true)", c.Docker, c.Datapath)
	}
	return nil
}

// openDocker makes the watcher of the Docker Engine, if there is to be one. It
// doesn't work before startDocker.
func (d *daemon) openDocker(state *store.Store, dp datapath.Datapath) error {
	if d.config.Docker == "" {
		return nil
	}
	if _, ok := dp.(datapath.Guarding); !ok {
		return fmt.Errorf("docker %s: datapath %s can't carry networks of others", d.config.Docker, dp.Mode())
	}
	found, err := setup.FindEngine()
	if err != nil {
		return err
	}
	subnets, err := found.Subnets()
	if err != nil {
		// Which dockerd won't start with either.
		d.log.Warn("addresses of Docker's configuration are left to chance", "err", err)
	}
	w, err := docker.New(docker.Config{
		Socket: d.config.Docker, Wanted: d.wanted, Store: state, Log: d.log, Subnets: subnets,
		// Systemd may keep it waiting for us, and its socket open.
		Absent: found.Pid == 0,
		BridgesChanged: func(ctx context.Context) {
			if err := d.engine.RefreshHost(ctx); err != nil {
				d.log.Error("uplinks after a change of Docker's bridges", "err", err)
			}
		},
	})
	if err != nil {
		return err
	}
	d.docker = w
	d.onClose(w.Close)
	return nil
}

// checkUserRules refuses to take traffic past rules that somebody made for it.
func (d *daemon) checkUserRules(ctx context.Context) error {
	rules, err := firewall.Read(ctx)
	if err != nil {
		return err
	}
	user := firewall.UserRules(rules)
	if len(user) == 0 {
		return nil
	}
	switch datapath.Netfilter(d.config.Netfilter) {
	case datapath.NetfilterFirstPacket:
		d.log.Info("rules in DOCKER-USER apply to containers (netfilter: first-packet)", "rules", len(user), "first", user[0].String())
		return nil
	case datapath.NetfilterBypass:
		d.log.Warn("rules in DOCKER-USER don't apply to containers (netfilter: bypass)", "rules", len(user), "first", user[0].String())
		return nil
	}
	return fmt.Errorf("docker: the chain DOCKER-USER has %d rules that would no longer apply to containers, the first %q: start with --netfilter=%s to have them judge connections with the outside, or with --netfilter=%s to do without them",
		len(user), user[0].String(), datapath.NetfilterFirstPacket, datapath.NetfilterBypass)
}

func (d *daemon) startDocker(ctx context.Context) error {
	if d.docker == nil {
		return nil
	}
	return d.docker.Start(ctx)
}

// serveDocker lets the proxies of the Docker Engine report. Those that found
// nobody who listens are found by another listing.
func (d *daemon) serveDocker(s *api.Server) {
	if d.docker == nil {
		return
	}
	s.ServeDocker(dockerPorts{d.docker})
	d.docker.Relist()
}

// dockerPorts is the watcher as the API sees it.
type dockerPorts struct{ watcher *docker.Watcher }

func (p dockerPorts) HoldPort(ctx context.Context, port api.DockerPort) (held api.DockerPortHeld, err error) {
	held.Internal, err = p.watcher.HoldPort(ctx, port.Pid, heldPort(port))
	if err != nil {
		return held, request.Mark(request.ErrConflict, err)
	}
	return held, nil
}

func (p dockerPorts) ReleasePort(ctx context.Context, port api.DockerPort) error {
	return p.watcher.ReleasePort(ctx, port.Pid, heldPort(port).PublishedPort)
}

func heldPort(p api.DockerPort) facts.Held {
	return facts.Held{
		PublishedPort: model.PublishedPort{
			Port: model.Port{Num: p.ContainerPort, Proto: p.Proto}, HostIP: p.HostIP.Unmap(), HostPort: p.HostPort,
		},
		Target: p.ContainerIP.Unmap(),
	}
}
