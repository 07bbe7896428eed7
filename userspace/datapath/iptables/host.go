// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// Settings below /proc/sys that are the host's and not one bridge's.
var (
	forwardingSettings = [len(families)][]string{
		{"net/ipv4/ip_forward"},
		{"net/ipv6/conf/default/forwarding", "net/ipv6/conf/all/forwarding"},
	}
	bridgeFilterSetting = [len(families)]string{
		"net/bridge/bridge-nf-call-iptables",
		"net/bridge/bridge-nf-call-ip6tables",
	}
)

// prepareHost sets what a network needs of the host. Values from before are
// noted in the journal first.
func (d *Datapath) prepareHost(ctx context.Context, n *datapath.Network) error {
	for _, f := range families {
		if f.subnet(n) == nil {
			continue
		}
		if err := d.kernel[f].broken; err != nil {
			return fmt.Errorf("%s: %w: %w", f, ErrNoFamily, err)
		}
		if err := d.filterBridged(ctx, f); err != nil {
			return err
		}
		if n.Internal {
			continue
		}
		if err := d.forward(ctx, f); err != nil {
			return err
		}
		if f == IPv4 {
			if err := writeSetting(routeLocalnet(n.Device.Name), "1"); err != nil {
				return err
			}
		}
	}
	return nil
}

// forwardInside lets packets that come in on the device of an internal network be forwarded, for
// a service there: what is sent to its address goes back into the network. Docker's rules keep all
// else in. It stays with the device: for internal networks the host doesn't become a router.
// Over IPv6 the bridge itself passes such packets on.
func forwardInside(n *datapath.Network) error {
	if IPv4.subnet(n) == nil || !n.Internal {
		return nil
	}
	if err := writeSetting("net/ipv4/conf/"+n.Device.Name+"/forwarding", "1"); err != nil {
		return fmt.Errorf("network %q: %w", n.Name, err)
	}
	return nil
}

func routeLocalnet(bridge string) string { return "net/ipv4/conf/" + bridge + "/route_localnet" }

// filterBridged lets frames that stay in a bridge pass the rules, where the
// kernel can; without br_netfilter icc=false would mean nothing.
func (d *Datapath) filterBridged(ctx context.Context, f Family) error {
	name := bridgeFilterSetting[f]
	if _, err := readSetting(name); errors.Is(err, fs.ErrNotExist) {
		if _, err := run(ctx, "", "modprobe", "br_netfilter"); err != nil {
			return fmt.Errorf("kernel module br_netfilter (CONFIG_BRIDGE_NETFILTER): %w", err)
		}
	}
	return d.turnOn(ctx, f, []string{name}, "")
}

// forward turns forwarding on. As Docker does it, FORWARD then gets the policy
// DROP, so that the host doesn't become everybody's router; where forwarding was
// on already the policy is the administrator's.
func (d *Datapath) forward(ctx context.Context, f Family) error {
	return d.turnOn(ctx, f, forwardingSettings[f], "DROP")
}

// turnOn writes 1 to the settings that aren't. If there are any, the values from
// before go to the journal and the policy to FORWARD in one transaction first.
func (d *Datapath) turnOn(ctx context.Context, f Family, names []string, policy string) error {
	s, k := new(script), &d.kernel[f]
	was := k.facts.clone()
	var off []string
	for _, name := range names {
		value, err := readSetting(name)
		if err != nil {
			return err
		}
		if value == "1" {
			continue
		}
		off = append(off, name)
		k.noteFact(s, factSysctl+name, value)
	}
	if len(off) == 0 {
		return nil
	}
	if policy != "" {
		if err := d.setPolicy(ctx, f, s, policy); err != nil {
			return err
		}
	}
	if err := d.bins.apply(ctx, f, s); err != nil {
		k.facts = was
		return err
	}
	for _, name := range off {
		if err := writeSetting(name, "1"); err != nil {
			return err
		}
	}
	return nil
}

func (d *Datapath) setPolicy(ctx context.Context, f Family, s *script, policy string) error {
	cur, err := d.bins.readTables(ctx, f)
	if err != nil {
		return err
	}
	if was := cur.policy(tableFilter, "FORWARD"); was != policy {
		s.policy(tableFilter, "FORWARD", policy)
		d.kernel[f].noteFact(s, factPolicy, was)
	}
	return nil
}

// noteFact writes a fact unless an earlier value is noted.
func (k *kernel) noteFact(s *script, name, value string) {
	if _, ok := k.facts[tableFilter][name]; ok {
		return
	}
	k.facts.set(tableFilter, name, value)
	s.add(factRule(tableFilter, name, value))
}

func readSetting(name string) (string, error) {
	b, err := os.ReadFile(filepath.Join("/proc/sys", name))
	return strings.TrimSpace(string(b)), err
}

func writeSetting(name, value string) error {
	if was, err := readSetting(name); err != nil || was == value {
		return err
	}
	return os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644)
}

// restoreBridge takes the bridge's own settings back if the device is still there.
func restoreBridge(bridge string) error {
	err := writeSetting(routeLocalnet(bridge), "0")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
