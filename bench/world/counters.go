// SPDX-License-Identifier: Apache-2.0

package world

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/netns"
)

// Counters are what the host has counted since it exists. A packet that takes one
// way is in none of the others.
type Counters struct {
	// Routed packets went through the kernel's IP forwarding.
	Routed uint64
	// Accepted packets met a rule of the arm's firewall that let them pass.
	Accepted uint64
	// Redirected packets left the host by a program, without its stack; XDP are
	// those of them that an XDP program saw, and Uplink the packets that one
	// behind it at the uplink saw, by XDP's leave.
	Redirected, XDP, Uplink uint64
	// Tracked are the connections that nf_conntrack knows now, Flows those of
	// Fairway's tables.
	Tracked, Flows uint64
	// Proxied are bytes of requests that a proxy has passed on, Balanced clients' packets
	// that IPVS has.
	Proxied, Balanced uint64
	// Tables says whose rules there are: "legacy", "nft".
	Tables string
}

// counting is a carrier that counts more than the kernel does by itself.
type counting interface {
	count(ctx context.Context, c *Counters) error
}

// Counters reads them; it takes some milliseconds.
func (w *World) Counters(ctx context.Context) (c Counters, err error) {
	if _, err := os.Lstat(w.host); errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	err = netns.Do(w.host, func() error {
		return errors.Join(countRouted(&c), countTracked(&c), lookForTables(ctx, &c))
	})
	if own, ok := w.carrier.(counting); ok && err == nil {
		err = own.count(ctx, &c)
	}
	if err != nil {
		return c, fmt.Errorf("arm %s: counters: %w", w.Arm, err)
	}
	return c, nil
}

// countRouted reads RFC 4293's ipSystemStatsOutForwDatagrams.
func countRouted(c *Counters) error {
	raw, err := os.ReadFile("/proc/thread-self/net/snmp")
	if err != nil {
		return err
	}
	var names []string
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "Ip:" {
			continue
		}
		if names == nil {
			names = f
			continue
		}
		for i, name := range names {
			if name == "ForwDatagrams" {
				c.Routed, err = strconv.ParseUint(f[i], 10, 64)
			}
		}
	}
	if err != nil {
		return err
	}
	raw, err = os.ReadFile("/proc/thread-self/net/snmp6")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "Ip6OutForwDatagrams" {
			n, err := strconv.ParseUint(f[1], 10, 64)
			c.Routed += n
			return err
		}
	}
	return err
}

func countTracked(c *Counters) error {
	raw, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_count")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		c.Tracked, err = strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64)
	}
	return err
}

// lookForTables finds rules without making any: iptables-legacy-save would.
func lookForTables(ctx context.Context, c *Counters) error {
	var there []string
	for _, name := range []string{"ip_tables_names", "ip6_tables_names"} {
		raw, err := os.ReadFile("/proc/thread-self/net/" + name)
		if err == nil && len(strings.TrimSpace(string(raw))) > 0 {
			there = append(there, "legacy")
			break
		}
	}
	rules, err := hasNFTables()
	if rules {
		there = append(there, "nft")
	}
	c.Tables = strings.Join(there, ", ")
	return err
}
