// SPDX-License-Identifier: Apache-2.0

package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/fairway-project/fairway/userspace/api"
)

// Datapath is the datapath of a daemon that a Program is. Its methods are for one
// goroutine at a time.
type Datapath struct {
	conn    net.Conn
	answers *json.Decoder
	api     *api.Client
}

// Open connects to the daemon with this run directory and API. The caller closes
// it; the API's client stays the caller's.
func Open(runDir string, client *api.Client) (*Datapath, error) {
	conn, err := net.Dial("unix", socketPath(runDir))
	if err != nil {
		return nil, fmt.Errorf("datapath: %w", err)
	}
	return &Datapath{conn: conn, answers: json.NewDecoder(conn), api: client}, nil
}

// Close ends the connection.
func (d *Datapath) Close() error { return d.conn.Close() }

// Endpoint is where a container's ports lead to.
type Endpoint struct {
	id   string
	addr netip.Addr
}

// Endpoint asks for the only endpoint of a container.
func (d *Datapath) Endpoint(ctx context.Context, container string) (Endpoint, error) {
	sb, _, err := d.api.Sandbox(ctx, container)
	if err != nil {
		return Endpoint{}, err
	}
	for _, n := range sb.NetworkSettings.Networks {
		addr, err := netip.ParseAddr(n.IPAddress)
		return Endpoint{id: n.EndpointID, addr: addr}, err
	}
	return Endpoint{}, fmt.Errorf("container %s: no endpoint", container)
}

// Publish replaces the published ports of an endpoint.
func (d *Datapath) Publish(ctx context.Context, e Endpoint, ranges ...Range) (Took, error) {
	stop := context.AfterFunc(ctx, func() { _ = d.conn.Close() })
	defer stop()
	var r response
	err := json.NewEncoder(d.conn).Encode(request{Endpoint: e.id, Target: e.addr, Ranges: ranges})
	if err == nil {
		err = d.answers.Decode(&r)
	}
	if err != nil {
		return Took{}, fmt.Errorf("publish ports of %s: %w", e.addr, errors.Join(ctx.Err(), err))
	}
	if r.Error != "" {
		return Took{}, fmt.Errorf("publish ports of %s: %s", e.addr, r.Error)
	}
	return r.Took, nil
}
