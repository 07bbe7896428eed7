// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/fairway-project/fairway/bench/pktgen"
	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

// fairway carries packets by its own daemon, told by its API what a user tells it.
type fairway struct {
	bridged
	w        *World
	client   *api.Client
	daemon   *service
	firewall *firewall
}

// benchNetwork and its bridge are called the same in all worlds.
const benchNetwork = "bench"

func (c *fairway) start(ctx context.Context) (err error) {
	if variant := c.variant(); variant != "" {
		if c.firewall, err = newFirewall(c.w.env.Dir, c.w.host, variant); err != nil {
			return err
		}
	}
	c.client = api.NewClient(c.socket())
	if err := c.launch(ctx); err != nil {
		return err
	}
	return c.network(ctx)
}

func (c *fairway) socket() string { return filepath.Join(c.w.env.Dir, "run", "fairway.sock") }

// variant of iptables that the arm is about; none for those with programs.
func (c *fairway) variant() string {
	switch c.w.Arm {
	case plan.IPTables:
		return "nft"
	case plan.IPTablesLegacy:
		return "legacy"
	}
	return ""
}

func (c *fairway) args() []string {
	args := c.dirs()
	if c.variant() != "" {
		args = append(args, "--datapath", "iptables")
	} else {
		args = append(args, "--datapath", "ebpf")
	}
	if c.w.Arm == plan.XDP {
		args = append(args, "--xdp", "auto")
	}
	args = append(args, c.w.env.DaemonArgs...)
	if n := flowTable(c.w.Connections); n > defaultFlowTable {
		args = append(args, "--flow-table-size", strconv.Itoa(n))
	}
	return append(args, c.w.DaemonArgs...)
}

// defaultFlowTable is what a machine with much memory has.
const defaultFlowTable = 2 * 262144

// flowTable is how many entries there are for so many connections: two for each, and room for
// twice as many.
func flowTable(connections int) int { return max(4*connections, defaultFlowTable) }

func (c *fairway) dirs() []string {
	return []string{
		"--root", filepath.Join(c.w.env.Dir, "root"), "--run-dir", filepath.Join(c.w.env.Dir, "run"), "--bpffs", c.w.env.BPFFS,
	}
}

func (c *fairway) network(ctx context.Context) error {
	c.bridged = bridged{w: c.w, ip4: network4.Addr().Next(), ip6: network6.Addr().Next()}
	_, err := c.client.CreateNetwork(ctx, request.NetworkCreate{
		Name: benchNetwork, EnableIPv6: true,
		Options: map[string]string{"com.docker.network.bridge.name": "br-" + benchNetwork},
		IPAM:    []request.IPAMConfig{{Subnet: network4, Gateway: c.ip4}, {Subnet: network6, Gateway: c.ip6}},
	})
	if err != nil {
		return err
	}
	c.mac, err = macOf(c.w.host, "br-"+benchNetwork)
	return err
}

func (c *fairway) add(ctx context.Context, n *node) (err error) {
	if err := newNetns(n.netns); err != nil {
		return err
	}
	_, err = c.client.Add(ctx, request.Add{Netns: n.netns, SandboxConfig: request.SandboxConfig{
		Name: n.Name, Publish: dockerPorts(n.Publish),
		Networks: []request.EndpointSettings{{Network: benchNetwork, IPv4: n.ip4, IPv6: n.ip6}},
	}})
	if err == nil {
		n.mac, err = equalOffloads(c.w.host, n)
	}
	if err != nil {
		return errors.Join(err, removeNetns(n.netns))
	}
	return nil
}

// remove is no error where the daemon isn't there any more.
func (c *fairway) remove(ctx context.Context, n *node) error {
	err := c.client.Remove(ctx, n.Name, true)
	return errors.Join(err, removeNetns(n.netns))
}

// close has Fairway remove everything, as a user would.
func (c *fairway) close(ctx context.Context) error {
	if c.daemon == nil {
		return nil
	}
	c.client.Close()
	if c.w.served > 0 && c.firewall != nil {
		// To remove thousands of services' rules one by one takes minutes.
		return c.abandon()
	}
	args := append([]string{"--socket", c.socket(), "uninstall", "--force", "--purge"}, c.dirs()...)
	_, err := output(ctx, c.w.host, nil, "", c.w.env.Fairway, args...)
	return errors.Join(err, c.daemon.stop())
}

// abandon ends the daemon and removes what is pinned; what else it made goes with the host's
// namespace.
func (c *fairway) abandon() error {
	return errors.Join(c.daemon.stop(), netns.RemoveDir(filepath.Join(c.w.env.Dir, "run", "netns")), os.RemoveAll(c.w.env.BPFFS))
}

// Abandon has Close not remove one by one what the daemon of an arm that is Fairway's has made.
func (w *World) Abandon() error {
	if w == nil {
		return nil
	}
	c, ok := w.carrier.(*fairway)
	if !ok || c.daemon == nil {
		return nil
	}
	c.client.Close()
	w.carrier = nil
	return c.abandon()
}

// Client talks to the daemon of an arm that is Fairway's; nil on others.
func (w *World) Client() *api.Client {
	if f, ok := w.carrier.(*fairway); ok {
		return f.client
	}
	return nil
}

// DaemonPID is the process that keeps the arm's rules or tables; 0 on arms without.
func (w *World) DaemonPID() int {
	switch c := w.carrier.(type) {
	case *fairway:
		return c.daemon.cmd.Process.Pid
	case *docker:
		return c.daemon.cmd.Process.Pid
	}
	return 0
}

func (c *fairway) count(ctx context.Context, n *Counters) error {
	status, err := c.client.Status(ctx)
	if err != nil {
		return err
	}
	if c.firewall != nil {
		n.Accepted, err = c.firewall.accepted(ctx)
		return err
	}
	n.Flows = status.Stats.Flows
	n.Redirected = status.Stats.Forwarded[datapath.PathEBPF].Packets
	for _, p := range status.Stats.Programs {
		switch p.Name {
		case "uplink_xdp":
			n.XDP = p.Runs
		case "from_uplink":
			n.Uplink = p.Runs
		}
	}
	return nil
}

// equalOffloads turns generic receive offload on at both ends of a container's
// veth, whoever made it, and returns the container's MAC.
func equalOffloads(host string, n *node) (net.HardwareAddr, error) {
	outer, err := peerName(host, n.netns, device)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(pktgen.SetGRO(host, outer, true), pktgen.SetGRO(n.netns, device, true)); err != nil {
		return nil, err
	}
	return macOf(n.netns, device)
}
