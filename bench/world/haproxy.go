// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/bench/load"
)

// haproxy has a proxy in the host's namespace for each service: connections end there, and
// others go to the backends. It has no firewall and tracks nothing.
type haproxy struct {
	bridge
	proxies []*proxy
}

// proxy is one that runs.
type proxy struct {
	*service
	socket string
}

func (c *haproxy) start(ctx context.Context) error {
	if _, err := find("haproxy"); err != nil {
		return err
	}
	if err := c.bridge.start(ctx); err != nil {
		return err
	}
	// Its side of each connection to a backend is closed first: without, they run out of
	// ports in the minute that each stays.
	return errors.Join(
		c.w.SetSysctl("net/ipv4/tcp_tw_reuse", "1"),
		c.w.SetSysctl("net/ipv4/ip_local_port_range", "1024 65535"))
}

func (c *haproxy) serve(ctx context.Context, s Service, backends []*node) error {
	if err := c.have(s); err != nil {
		return err
	}
	p := &proxy{socket: filepath.Join(c.w.env.Dir, s.Name+".sock")}
	config := filepath.Join(c.w.env.Dir, s.Name+".cfg")
	if err := os.WriteFile(config, []byte(c.config(p.socket, s, backends)), 0o644); err != nil {
		return err
	}
	var err error
	p.service, err = startService(c.w.host, filepath.Join(c.w.env.Dir, s.Name+".log"), nil, "haproxy", "-db", "-f", config)
	if err != nil {
		return err
	}
	c.proxies = append(c.proxies, p)
	return p.ready(ctx, func() error {
		_, _, err := p.statistics()
		return err
	})
}

// config has one thread, on the CPU that the whole benchmark is on: the rate is what it costs.
func (c *haproxy) config(socket string, s Service, backends []*node) string {
	var text strings.Builder
	fmt.Fprintf(&text, `global
	nbthread 1
	cpu-map 1/1 %d
	maxconn 4000
	stats socket %s
defaults
	mode tcp
	balance roundrobin
	timeout connect 5s
	timeout client 1m
	timeout server 1m
`, c.w.env.CPU, socket)
	for i := range s.Ports {
		port := int(s.First) + i
		fmt.Fprintf(&text, "listen %s-%d\n\tbind %s:%d\n", s.Name, port, s.Address(), port)
		if i == 0 && s.Published != 0 {
			fmt.Fprintf(&text, "\tbind %s:%d\n", hostIP4, s.Published)
		}
		for _, b := range backends {
			fmt.Fprintf(&text, "\tserver %s %s:%d\n", b.Name, b.ip4, port)
		}
	}
	return text.String()
}

// statistics are how many bytes backends got by the proxy, and how many of its clients'
// connections are there still: their bytes aren't counted yet.
func (p *proxy) statistics() (received, open uint64, err error) {
	conn, err := net.Dial("unix", p.socket)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "show stat\n"); err != nil {
		return 0, 0, err
	}
	raw, err := io.ReadAll(conn)
	if err != nil {
		return 0, 0, err
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(strings.TrimSpace(string(raw)), "# "))).ReadAll()
	if err != nil {
		return 0, 0, fmt.Errorf("statistics: %w", err)
	}
	const name, sessions, in = 1, 4, 8
	for _, row := range rows {
		if len(row) <= in || row[name] != "BACKEND" {
			continue
		}
		bytes, bytesErr := strconv.ParseUint(row[in], 10, 64)
		now, nowErr := strconv.ParseUint(row[sessions], 10, 64)
		if err := errors.Join(bytesErr, nowErr); err != nil {
			return 0, 0, fmt.Errorf("statistics: %w", err)
		}
		received, open = received+bytes, open+now
	}
	return received, open, nil
}

// count waits until all connections have ended: nothing is in flight.
func (c *haproxy) count(ctx context.Context, n *Counters) error {
	for _, p := range c.proxies {
		err := p.ready(ctx, func() error {
			sum, open, err := p.statistics()
			if err == nil && open > 0 {
				err = fmt.Errorf("%d connections are open", open)
			}
			if err == nil {
				n.Proxied += sum
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// requestPerPacket is how many bytes of requests each of a client's packets has, at least:
// one of four of a short connection is the request.
const requestPerPacket = load.DefaultMessage / 4

func (c *haproxy) check(before, now Counters, t Traffic) (string, error) {
	return expect(
		noRules(now.Tables),
		nothing("tracked connections", now.Tracked),
		few("routed packets", now.Routed-before.Routed, t.Packets),
		atLeast("bytes of requests passed on by haproxy", now.Proxied-before.Proxied, requestPerPacket*t.ToServer))
}

func (c *haproxy) close(ctx context.Context) error {
	var errs []error
	for _, p := range c.proxies {
		errs = append(errs, p.stop())
	}
	return errors.Join(append(errs, c.bridge.close(ctx))...)
}
