// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/bench/plan"
	"github.com/fairway-project/fairway/userspace/netns"
)

// ipvs has the kernel's own balancer, in the mode that translates addresses, where the
// kernel has it.
type ipvs struct{ bridge }

// ipvsRules masquerade what comes back to the network that it is from: without, answers
// would go past the host. Frames between containers aren't IPVS's, and meet no rule.
const ipvsRules = `table ip bench {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr NETWORK4 ip daddr NETWORK4 masquerade
	}
}
`

func (c *ipvs) start(ctx context.Context) error {
	for _, name := range []string{"ipvsadm", "nft"} {
		if _, err := find(name); err != nil {
			return err
		}
	}
	if _, err := output(ctx, c.w.host, nil, "", "ipvsadm", "--list"); err != nil {
		return fmt.Errorf("%w: the kernel has no IPVS: %w", plan.ErrUnavailable, err)
	}
	if err := c.bridge.start(ctx); err != nil {
		return err
	}
	err := setSysctls(c.w.host, map[string]string{
		"net/ipv4/vs/conntrack": "1", "net/bridge/bridge-nf-call-iptables": "0", "net/bridge/bridge-nf-call-ip6tables": "0",
	})
	if err != nil {
		return err
	}
	_, err = output(ctx, c.w.host, nil, strings.ReplaceAll(ipvsRules, "NETWORK4", network4.String()), "nft", "-f", "-")
	return err
}

func (c *ipvs) serve(ctx context.Context, s Service, backends []*node) error {
	if err := c.have(s); err != nil {
		return err
	}
	var text strings.Builder
	front := func(at string, port int) {
		fmt.Fprintf(&text, "-A -t %s -s rr\n", at)
		for _, b := range backends {
			fmt.Fprintf(&text, "-a -t %s -r %s:%d -m\n", at, b.ip4, port)
		}
	}
	for i := range s.Ports {
		port := int(s.First) + i
		front(fmt.Sprintf("%s:%d", s.Address(), port), port)
	}
	if s.Published != 0 {
		front(fmt.Sprintf("%s:%d", hostIP4, s.Published), int(s.First))
	}
	_, err := output(ctx, c.w.host, nil, text.String(), "ipvsadm", "--restore")
	return err
}

func (c *ipvs) count(_ context.Context, n *Counters) error {
	return netns.Do(c.w.host, func() error {
		raw, err := os.ReadFile("/proc/thread-self/net/ip_vs_stats")
		if err != nil {
			return err
		}
		n.Balanced, err = incoming(string(raw))
		return err
	})
}

// incoming reads the packets of clients from ip_vs_stats: two lines of headings, and then
// connections, packets and bytes of all services, in hexadecimal.
func incoming(stats string) (uint64, error) {
	const packets = 1
	for i, line := range strings.Split(stats, "\n") {
		if f := strings.Fields(line); i >= 2 && len(f) > packets {
			return strconv.ParseUint(f[packets], 16, 64)
		}
	}
	return 0, fmt.Errorf("ip_vs_stats: no counters in %q", stats)
}

func (c *ipvs) check(before, now Counters, t Traffic) (string, error) {
	return expect(
		onlyRules(now.Tables, "nft"),
		atLeast("packets balanced", now.Balanced-before.Balanced, t.ToServer))
}
