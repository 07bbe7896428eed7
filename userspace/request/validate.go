// SPDX-License-Identifier: Apache-2.0

package request

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

// Longest names, in bytes. A sandbox's name is a DNS label (RFC 1035 2.3.4), a
// hostname is bounded by the kernel (HOST_NAME_MAX).
const (
	maxNetworkName = 128
	maxSandboxName = 63
	maxHostname    = 64
)

// namePattern is Docker's pattern of container and network names.
var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

var hostnamePattern = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$`)

func checkName(what, name string, longest int) error {
	if len(name) > longest {
		return Errorf(ErrInvalid, "%s name %q...: %d bytes long; want at most %d", what, name[:16], len(name), longest)
	}
	if !namePattern.MatchString(name) {
		return Errorf(ErrInvalid, "%s name %q: want letters, digits, '_', '.' and '-', a letter or digit first", what, name)
	}
	return nil
}

// Validate checks what can be checked without knowing the host. The server
// calls it before the Backend sees the request.
func (r *NetworkCreate) Validate() error {
	if r.Name == "" {
		return Errorf(ErrInvalid, "network name is missing")
	}
	if err := checkName("network", r.Name, maxNetworkName); err != nil {
		return err
	}
	if r.EnableIPv4 != nil && !*r.EnableIPv4 && !r.EnableIPv6 {
		return Errorf(ErrInvalid, "network %q: IPv4 or IPv6 must be enabled", r.Name)
	}
	for _, c := range r.IPAM {
		if c.Subnet.IsValid() && c.Subnet != c.Subnet.Masked() {
			return Errorf(ErrInvalid, "subnet %s: has bits set beyond its length; did you mean %s?", c.Subnet, c.Subnet.Masked())
		}
	}
	return nil
}

// Validate as of NetworkCreate.
func (c *Connect) Validate() error {
	if c.Sandbox == "" {
		return Errorf(ErrInvalid, "sandbox is missing")
	}
	return checkEndpoint(c.Settings(""))
}

// Validate as of NetworkCreate.
func (d *Disconnect) Validate() error {
	if d.Sandbox == "" {
		return Errorf(ErrInvalid, "sandbox is missing")
	}
	return nil
}

func checkEndpoint(e EndpointSettings) error {
	if e.IPv4.IsValid() && !e.IPv4.Is4() {
		return Errorf(ErrInvalid, "ip %s: want an IPv4 address", e.IPv4)
	}
	if e.IPv6.IsValid() && (!e.IPv6.Is6() || e.IPv6.Is4In6() || e.IPv6.Zone() != "") {
		return Errorf(ErrInvalid, "ip6 %s: want an IPv6 address", e.IPv6)
	}
	for _, a := range e.Aliases {
		if err := checkName("alias", a, maxSandboxName); err != nil {
			return err
		}
	}
	return nil
}

// Validate as of NetworkCreate.
func (c *SandboxConfig) Validate() error {
	if c.Name != "" {
		if err := checkName("sandbox", c.Name, maxSandboxName); err != nil {
			return err
		}
	}
	if _, _, _, err := c.NetworkMode(); err != nil {
		return err
	}
	for _, e := range c.Networks {
		if err := checkEndpoint(e); err != nil {
			return err
		}
	}
	if c.Hostname != "" && (len(c.Hostname) > maxHostname || !hostnamePattern.MatchString(c.Hostname)) {
		return Errorf(ErrInvalid, "hostname %.80q: want at most %d letters, digits, '-' and '.'", c.Hostname, maxHostname)
	}
	if err := c.checkNames(); err != nil {
		return err
	}
	if _, err := c.Exposed(); err != nil {
		return err
	}
	_, err := c.PortSpecs()
	return err
}

func (c *SandboxConfig) checkNames() error {
	for _, h := range c.ExtraHosts {
		if strings.ContainsAny(h.Name, " \t\n#") || h.Name == "" {
			return Errorf(ErrInvalid, "extra host %q: want a host name", h.Name)
		}
		if _, err := netip.ParseAddr(h.Address); err != nil && h.Address != HostGateway {
			return Errorf(ErrInvalid, "extra host %q: address %q: want an IP address or %s", h.Name, h.Address, HostGateway)
		}
	}
	for _, l := range c.Links {
		if l.Sandbox == "" {
			return Errorf(ErrInvalid, "link %q: sandbox is missing", l.Alias)
		}
		if err := checkName("link alias", l.Alias, maxSandboxName); err != nil {
			return err
		}
	}
	for _, s := range append(append([]string{}, c.DNSSearch...), c.DNSOptions...) {
		if s == "" || strings.ContainsAny(s, " \t\n") {
			return Errorf(ErrInvalid, "DNS search domain or option %q: want one word", s)
		}
	}
	return nil
}

// Validate as of NetworkCreate.
func (r *Run) Validate() error {
	if err := r.SandboxConfig.Validate(); err != nil {
		return err
	}
	return checkCommand(r.Command, r.Env, r.Workdir)
}

// Validate as of NetworkCreate.
func (r *Exec) Validate() error { return checkCommand(r.Command, r.Env, r.Workdir) }

func checkCommand(command, env []string, workdir string) error {
	if len(command) == 0 || command[0] == "" {
		return Errorf(ErrInvalid, "command is missing")
	}
	for _, s := range append(append([]string{workdir}, command...), env...) {
		if strings.ContainsRune(s, 0) {
			return Errorf(ErrInvalid, "argument %.80q: contains a NUL byte", s)
		}
	}
	for _, s := range env {
		if i := strings.IndexByte(s, '='); i <= 0 {
			return Errorf(ErrInvalid, "environment %.80q: want KEY=VALUE", s)
		}
	}
	if workdir != "" && !strings.HasPrefix(workdir, "/") {
		return Errorf(ErrInvalid, "workdir %.80q: want an absolute path", workdir)
	}
	return nil
}

// Validate as of NetworkCreate.
func (r *Add) Validate() error {
	if r.Name == "" {
		return Errorf(ErrInvalid, "sandbox name is missing")
	}
	if !strings.HasPrefix(r.Netns, "/") {
		return Errorf(ErrInvalid, "netns %q: want an absolute path like /run/netns/NAME or /proc/PID/ns/net", r.Netns)
	}
	mode, _, _, err := r.SandboxConfig.NetworkMode()
	if err != nil {
		return err
	}
	if mode != model.ModeNetworks {
		return Errorf(ErrInvalid, "network %q: an adopted namespace cannot use another's", r.Networks[0].Network)
	}
	return r.SandboxConfig.Validate()
}
