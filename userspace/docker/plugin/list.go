// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"time"

	"github.com/fairway-project/fairway/userspace/docker/client"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// askTimeout bounds the question for names.
const askTimeout = time.Second

// named is what Docker calls an endpoint's container.
type named struct{ id, name string }

// Carried returns the driver's networks and the containers on them. Names and IDs
// of containers are Docker's if it can be asked for them, else the ID of the
// sandbox in Docker, which is all that its calls tell.
func (d *Driver) Carried(ctx context.Context) (c request.Carried) {
	names := d.askNames(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.records.Networks {
		v := request.NetworkView{Network: n.Network, Owner: model.OwnerDockerPlugin}
		v.Name = d.networkName(n, names)
		for _, e := range d.records.Endpoints {
			if e.NetworkID != n.ID || e.SandboxKey == "" {
				continue
			}
			who := names.of(e)
			ep := e.Endpoint
			ep.SandboxID = who.id
			v.Endpoints = append(v.Endpoints, request.NetworkEndpoint{Endpoint: ep, SandboxName: who.name})
			c.Containers = addEndpoint(c.Containers, who, request.SandboxEndpoint{Endpoint: ep, NetworkName: v.Name}, e.Published)
		}
		c.Networks = append(c.Networks, v)
	}
	slices.SortFunc(c.Networks, func(a, b request.NetworkView) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(c.Containers, func(a, b request.SandboxView) int { return cmp.Compare(a.Name, b.Name) })
	return c
}

// addEndpoint puts an endpoint into the view of its container.
func addEndpoint(all []request.SandboxView, who named, ep request.SandboxEndpoint, ports []model.PublishedPort) []request.SandboxView {
	i := slices.IndexFunc(all, func(v request.SandboxView) bool { return v.ID == who.id })
	if i < 0 {
		i = len(all)
		all = append(all, request.SandboxView{Owner: model.OwnerDockerPlugin, Sandbox: model.Sandbox{
			ID: who.id, Name: who.name, Mode: model.ModeNetworks, State: model.State{Status: model.StatusRunning},
		}})
	}
	all[i].Endpoints = append(all[i].Endpoints, ep)
	all[i].Published = append(all[i].Published, ports...)
	return all
}

// answers are Docker's names: of containers by endpoint, of networks by ID.
type answers struct {
	containers map[string]named
	networks   map[string]string
}

// of returns the names of an endpoint's container.
func (a answers) of(e *endpoint) named {
	if who, ok := a.containers[e.ID]; ok {
		return who
	}
	id := filepath.Base(e.SandboxKey)
	return named{id, id}
}

func (d *Driver) networkName(n *network, a answers) string {
	return cmp.Or(a.networks[n.ID], n.Name)
}

// askNames asks Docker, which answers this without any container's lock. It must
// not be called by what Docker waits for.
func (d *Driver) askNames(ctx context.Context) answers {
	a := answers{containers: make(map[string]named), networks: make(map[string]string)}
	if d.Docker == "" {
		return a
	}
	defer func() { d.remember(a) }()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	c, err := client.New(d.Docker)
	if err == nil {
		defer c.Close()
		err = c.Connect(ctx)
	}
	for _, id := range d.networkIDs() {
		if err != nil {
			break
		}
		var n client.Network
		if n, err = c.Network(ctx, id); err == nil {
			a.networks[id] = n.Name
			for container, e := range n.Containers {
				a.containers[e.EndpointID] = named{container, e.Name}
			}
		}
	}
	if err != nil {
		d.Log.Debug("docker plugin: docker not asked for names", "err", err)
	}
	return a
}

func (d *Driver) remember(a answers) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.names, d.asked = a, time.Now()
}

// askedLately reports whether Docker was asked so short a time ago that there is no
// use in asking again, or has said the name of this endpoint's container.
func (d *Driver) askedLately(endpointID string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, said := d.names.containers[endpointID]
	return said || d.records.Endpoints[endpointID] == nil || time.Since(d.asked) < askTimeout
}

// networkIDs needs no lock of the caller's.
func (d *Driver) networkIDs() (ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range d.records.Networks {
		ids = append(ids, id)
	}
	return ids
}
