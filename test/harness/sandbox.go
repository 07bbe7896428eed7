// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"net"
	"testing"
)

// Inspect has the fields of `fairway inspect` that tests read.
type Inspect struct {
	ID    string `json:"Id"`
	Name  string
	State struct {
		Status   string
		Running  bool
		Pid      int
		ExitCode int
	}
	Config struct {
		Hostname string
	}
	HostConfig struct {
		NetworkMode string
	}
	NetworkSettings struct {
		SandboxID, SandboxKey string
		Ports                 map[string][]struct{ HostIp, HostPort string }
		Networks              map[string]InspectEndpoint
	}
}

// InspectEndpoint is one entry of NetworkSettings.Networks.
type InspectEndpoint struct {
	NetworkID, EndpointID, MacAddress string
	IPAddress, Gateway                string
	IPPrefixLen                       int
	GlobalIPv6Address, IPv6Gateway    string
	GlobalIPv6PrefixLen               int
	GwPriority                        int
	Aliases, DNSNames                 []string
}

// Sandbox is a running sandbox; its namespace is the one of its processes.
type Sandbox struct {
	*Netns
	Name string
	Inspect
	env *Env
}

// Network makes a dual-stack bridge network with the given subnets' first parts:
// Network(t, "a", 30) is 172.30.0.0/24 and fd00:30::/64.
func (e *Env) Network(t testing.TB, name string, n int, flags ...string) {
	t.Helper()
	e.Must(t, append(append([]string{"network", "create", "--ipv6",
		"--subnet", Subnet4(n), "--subnet", Subnet6(n)}, flags...), name)...)
}

// Sandbox runs a sandbox that does nothing but exist.
func (e *Env) Sandbox(t testing.TB, name string, flags ...string) *Sandbox {
	t.Helper()
	return e.SandboxRunning(t, name, flags, "sleep", "infinity")
}

// SandboxRunning runs a sandbox with a command of its own.
func (e *Env) SandboxRunning(t testing.TB, name string, flags []string, command ...string) *Sandbox {
	t.Helper()
	args := append([]string{"run", "-d", "--name", name}, flags...)
	e.Must(t, append(append(args, "--"), command...)...)
	return e.Open(t, name)
}

// Open returns a sandbox that exists.
func (e *Env) Open(t testing.TB, name string) *Sandbox {
	t.Helper()
	in := e.Inspect(t, name)
	path := in.NetworkSettings.SandboxKey
	if in.HostConfig.NetworkMode == "host" {
		path = fmt.Sprintf("/proc/%d/ns/net", in.State.Pid)
	}
	n := holdNetns(t, name, path)
	e.held = append(e.held, n)
	e.sandbox = append(e.sandbox, in.ID)
	return &Sandbox{Netns: n, Name: name, Inspect: in, env: e}
}

// Inspect returns what `fairway inspect` tells.
func (e *Env) Inspect(t testing.TB, name string) Inspect {
	t.Helper()
	var all []Inspect
	e.JSON(t, &all, "inspect", name)
	if len(all) != 1 {
		t.Fatalf("inspect %s: %d entries", name, len(all))
	}
	return all[0]
}

// Refresh reads the sandbox's description again.
func (s *Sandbox) Refresh(t testing.TB) { t.Helper(); s.Inspect = s.env.Inspect(t, s.Name) }

// IP returns the address on a network.
func (s *Sandbox) IP(t testing.TB, network string, f Family) string {
	t.Helper()
	ep, ok := s.NetworkSettings.Networks[network]
	if !ok {
		t.Fatalf("sandbox %s isn't on network %s: %v", s.Name, network, s.NetworkSettings.Networks)
	}
	addr := ep.IPAddress
	if f.Is6() {
		addr = ep.GlobalIPv6Address
	}
	if addr == "" {
		t.Fatalf("sandbox %s has no IPv%d address on network %s", s.Name, f.V, network)
	}
	return addr
}

// Gateway returns the gateway's address on a network.
func (s *Sandbox) Gateway(network string, f Family) string {
	if f.Is6() {
		return s.NetworkSettings.Networks[network].IPv6Gateway
	}
	return s.NetworkSettings.Networks[network].Gateway
}

// MAC returns the hardware address on a network.
func (s *Sandbox) MAC(t testing.TB, network string) net.HardwareAddr {
	t.Helper()
	mac, err := net.ParseMAC(s.NetworkSettings.Networks[network].MacAddress)
	if err != nil {
		t.Fatalf("sandbox %s: %v", s.Name, err)
	}
	return mac
}

// Remove removes the sandbox with its processes.
func (s *Sandbox) Remove(t testing.TB) { t.Helper(); s.env.Must(t, "rm", "-f", s.Name) }
