// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"os"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
)

func (c *Config) checkNetfilter() error {
	const bypass, first = datapath.NetfilterBypass, datapath.NetfilterFirstPacket
	switch datapath.Netfilter(c.Netfilter) {
	case "", bypass:
		return nil
	case first:
		if c.Datapath != datapath.EBPF {
			return fmt.Errorf("netfilter %s: not with datapath %s, where the host's rules see every packet", first, c.Datapath)
		}
		return nil
	}
	return fmt.Errorf("netfilter %q: want %s, %s or nothing", c.Netfilter, bypass, first)
}

// firstPacket reports whether the host's rules are to judge connections.
func (c *Config) firstPacket() bool {
	return datapath.Netfilter(c.Netfilter) == datapath.NetfilterFirstPacket
}

// checkForwarding refuses first-packet mode on a host that doesn't forward packets:
// none would come to the rules. To make it a router is the operator's decision.
func (c *Config) checkForwarding() error {
	if !c.firstPacket() {
		return nil
	}
	raw, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		return fmt.Errorf("netfilter %s: %w", c.Netfilter, err)
	}
	if strings.TrimSpace(string(raw)) == "0" {
		return fmt.Errorf("netfilter %s: net.ipv4.ip_forward is 0, so that the host's rules would see no packet of a container: set it to 1, and see to what FORWARD lets the host route", c.Netfilter)
	}
	return nil
}
