// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	_ "embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/bench/plan"
)

// nftables does what the rules of iptables mode do with as few as there can be: one
// map lookup for all published ports, however many, instead of a chain of rules.
type nftables struct {
	bridge
	// serves is set once there is a map of services.
	serves bool
}

//go:embed nftables.nft
var ruleset string

func (c *nftables) start(ctx context.Context) error {
	if _, err := find("nft"); err != nil {
		return err
	}
	if err := c.bridge.start(ctx); err != nil {
		return err
	}
	text := strings.NewReplacer(
		"UPLINK", device, "BRIDGE", bridgeName, "NETWORK4", network4.String(), "NETWORK6", network6.String(),
	).Replace(ruleset)
	return c.nft(ctx, text)
}

func (c *nftables) nft(ctx context.Context, text string) error {
	_, err := output(ctx, c.w.host, nil, text, "nft", "-f", "-")
	return err
}

func (c *nftables) add(ctx context.Context, n *node) error {
	if err := c.bridge.add(ctx, n); err != nil {
		return err
	}
	return c.publish(ctx, "add", n)
}

func (c *nftables) remove(ctx context.Context, n *node) error {
	if err := c.publish(ctx, "delete", n); err != nil {
		return err
	}
	return c.bridge.remove(ctx, n)
}

// publish adds or deletes all ports of a container in one transaction.
func (c *nftables) publish(ctx context.Context, verb string, n *node) error {
	var text strings.Builder
	for _, p := range n.Publish {
		for i := range uint16(max(p.Count, 1)) {
			fmt.Fprintf(&text, "%s element ip bench published { %s . %d : %s . %d }\n", verb, p.Proto, p.Host+i, n.ip4, p.Container+i)
			fmt.Fprintf(&text, "%s element ip6 bench published { %s . %d : %s . %d }\n", verb, p.Proto, p.Host+i, n.ip6, p.Container+i)
		}
	}
	if text.Len() == 0 {
		return nil
	}
	return c.nft(ctx, text.String())
}

// ends leaves ::1 out: the kernel can't translate it on the way to another device.
func (c *nftables) ends(walk plan.Walk, f plan.Family) (Ends, error) {
	if walk == plan.LoopbackToPublished && f == plan.IPv6 {
		return Ends{}, fmt.Errorf("%w: ::1 can't be translated", plan.ErrUnavailable)
	}
	return c.bridged.ends(walk, f)
}

// counted is a named counter in nft's text.
var counted = regexp.MustCompile(`counter forwarded \{\s*packets (\d+) `)

func (c *nftables) count(ctx context.Context, n *Counters) error {
	for _, family := range []string{"ip", "ip6"} {
		out, err := output(ctx, c.w.host, nil, "", "nft", "list", "counter", family, "bench", "forwarded")
		if err != nil {
			return err
		}
		m := counted.FindStringSubmatch(out)
		if m == nil {
			return fmt.Errorf("nft shows no counter: %q", out)
		}
		packets, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			return err
		}
		n.Accepted += packets
	}
	return nil
}

func (c *nftables) check(before, now Counters, t Traffic) (string, error) {
	claims := []claim{
		onlyRules(now.Tables, "nft"),
		atLeast("tracked connections", now.Tracked, t.Flows),
	}
	if forwarded(t.Walk) {
		claims = append(claims, atLeast("packets accepted by rules", now.Accepted-before.Accepted, t.Packets))
	}
	return expect(claims...)
}
