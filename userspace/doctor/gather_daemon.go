// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// askTimeout bounds the questions to a daemon that hangs.
const askTimeout = 5 * time.Second

// askDaemon reads what the daemon at socket knows.
func askDaemon(ctx context.Context, socket string) daemonFacts {
	ctx, stop := context.WithTimeout(ctx, askTimeout)
	defer stop()
	d := daemonFacts{client: request.BuildVersion(), known: make(map[string]bool), carried: make(map[string]bool)}
	c := api.NewClient(socket)
	defer c.Close()
	if d.status, d.err = c.Status(ctx); d.err != nil {
		return d
	}
	d.err = errors.Join(d.askNetworks(ctx, c), d.askPorts(ctx, c))
	return d
}

func (d *daemonFacts) askNetworks(ctx context.Context, c *api.Client) error {
	networks, err := c.Networks(ctx, nil)
	if err != nil {
		return err
	}
	for _, n := range networks {
		d.known[n.ID] = true
		inspected, _, err := c.Network(ctx, n.ID)
		if errors.Is(err, request.ErrNotFound) {
			d.carried[n.ID] = true
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range inspected.Containers {
			d.known[e.EndpointID] = true
		}
	}
	return nil
}

func (d *daemonFacts) askPorts(ctx context.Context, c *api.Client) error {
	sandboxes, err := c.Sandboxes(ctx, false, nil)
	if err != nil {
		return err
	}
	for _, s := range sandboxes {
		for _, p := range s.Ports {
			if !p.HostIP.IsValid() || p.HostPort == 0 {
				continue
			}
			pub := model.PublishedPort{
				Port: model.Port{Num: p.ContainerPort, Proto: p.Proto}, HostIP: p.HostIP, HostPort: p.HostPort,
			}
			d.ports = append(d.ports, portFact{sandbox: s.Name, port: pub, problem: tryBind(pub)})
		}
	}
	return nil
}

// tryBind says what is wrong with the reservation of a port: that it can be had.
func tryBind(p model.PublishedPort) string {
	kind := unix.SOCK_STREAM
	switch p.Port.Proto {
	case model.UDP:
		kind = unix.SOCK_DGRAM
	case model.SCTP:
		// Without the kernel's SCTP there is nothing to take the port away.
		return ""
	}
	var family int
	var sa unix.Sockaddr
	if p.HostIP.Is4() {
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(p.HostPort), Addr: p.HostIP.As4()}
	} else {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(p.HostPort), Addr: p.HostIP.As16()}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	if family == unix.AF_INET6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	switch err := unix.Bind(fd, sa); err {
	case unix.EADDRINUSE:
		return ""
	case nil:
		return "not reserved: another program could take it"
	case unix.EADDRNOTAVAIL:
		return "the host no longer has the address"
	default:
		return fmt.Sprintf("can't tell whether it is reserved: %v", err)
	}
}
