// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
)

// Family is an address family with the topology's addresses in it.
type Family struct {
	// V is 4 or 6.
	V                             int
	Host, LAN1, LAN2, Router, WAN string
	// Loopback is 127.0.0.1 or ::1; Any is the wildcard.
	Loopback, Any string
}

// The two families.
func v4() Family {
	return Family{V: 4, Host: HostIP4, LAN1: LAN1IP4, LAN2: LAN2IP4, Router: RouterIP4, WAN: WANIP4, Loopback: "127.0.0.1", Any: "0.0.0.0"}
}

func v6() Family {
	return Family{V: 6, Host: HostIP6, LAN1: LAN1IP6, LAN2: LAN2IP6, Router: RouterIP6, WAN: WANIP6, Loopback: "::1", Any: "::"}
}

// Is6 tells the families apart.
func (f Family) Is6() bool { return f.V == 6 }

// Flag returns "-4" or "-6" as ping and its like want it.
func (f Family) Flag() string {
	if f.Is6() {
		return "-6"
	}
	return "-4"
}

// EachFamily runs fn for IPv4 and IPv6, one after the other.
func (e *Env) EachFamily(t *testing.T, fn func(t *testing.T, f Family)) {
	t.Helper()
	t.Run("ipv4", func(t *testing.T) { fn(t, v4()) })
	t.Run("ipv6", func(t *testing.T) { fn(t, v6()) })
}

// V4 and V6 return a family for tests that concern only one.
func V4() Family { return v4() }

// V6 is the family of IPv6.
func V6() Family { return v6() }

// EachOffload runs fn with segmentation and checksum offloads on and off, on the
// uplink's both ends and in the given sandboxes.
func (e *Env) EachOffload(t *testing.T, sandboxes []*Sandbox, fn func(t *testing.T)) {
	t.Helper()
	e.Host.keepFeatures(t, "eth0")
	e.Switch.keepFeatures(t, "host")
	for _, state := range []string{"on", "off"} {
		t.Run("offload-"+state, func(t *testing.T) {
			setOffload(t, e.Host, "eth0", state, "gro")
			setOffload(t, e.Switch, "host", state, "gro")
			for _, s := range sandboxes {
				setOffload(t, s.Netns, "eth0", state, e.sandboxGRO()...)
			}
			fn(t)
		})
	}
}

// sandboxGRO is GRO, but where XDP needs it: see docs/architecture.md.
func (e *Env) sandboxGRO() []string {
	if x := os.Getenv("FAIRWAY_XDP"); x != "" && x != "off" && e.Mode == EBPF {
		return nil
	}
	return []string{"gro"}
}

// setOffload ignores ethtool's status: it complains where a feature can't be
// changed although all others were.
func setOffload(t testing.TB, n *Netns, dev, state string, more ...string) {
	t.Helper()
	args := []string{"-K", dev}
	for _, feature := range append([]string{"tx", "rx", "sg", "tso", "gso"}, more...) {
		args = append(args, feature, state)
	}
	if out, err := n.ethtool(args...); err != nil {
		t.Logf("ethtool in %s: %s", n.Name, out)
	}
}

// Feature changes one of a device for as long as the test runs.
func (n *Netns) Feature(t testing.TB, dev, feature, state string) {
	t.Helper()
	n.keepFeatures(t, dev)
	if out, err := n.ethtool("-K", dev, feature, state); err != nil {
		t.Fatalf("ethtool in %s: %v: %s", n.Name, err, out)
	}
}

// keepFeatures gives a device back at the end of the test the features that it has now.
func (n *Netns) keepFeatures(t testing.TB, dev string) {
	t.Helper()
	before, err := n.ethtool("-k", dev)
	if err != nil {
		t.Fatalf("ethtool in %s: %v: %s", n.Name, err, before)
	}
	t.Cleanup(func() {
		args := []string{"-K", dev}
		for line := range strings.Lines(before) {
			f := strings.Fields(strings.TrimSpace(line))
			if len(f) == 2 && (f[1] == "on" || f[1] == "off") {
				args = append(args, strings.TrimSuffix(f[0], ":"), f[1])
			}
		}
		_, _ = n.ethtool(args...)
		if now, err := n.ethtool("-k", dev); err != nil || now != before {
			n.Touch()
		}
	})
}

// ethtool is for changes that are taken back.
func (n *Netns) ethtool(args ...string) (string, error) {
	var out strings.Builder
	cmd := n.Command(context.Background(), "ethtool", args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.Start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}

// HostPort joins an address and a port for dialling.
func HostPort(host, port string) string { return net.JoinHostPort(host, port) }
