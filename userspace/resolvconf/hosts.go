// SPDX-License-Identifier: Apache-2.0

package resolvconf

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

// HostLink is a sandbox on the default bridge that --link makes known.
type HostLink struct {
	Alias string
	// Hostname and Name are the linked sandbox's own.
	Hostname, Name string
	Addr           netip.Addr
}

// Hosts is the content of an /etc/hosts.
type Hosts struct {
	// Hostname may be fully qualified; the short form is then added to it.
	Hostname string
	// Addrs are the sandbox's own addresses.
	Addrs []netip.Addr
	Extra []model.ExtraHost
	Links []HostLink
	// NoIPv6 leaves out every line with an IPv6 address.
	NoIPv6 bool
}

// Content returns the file: localhost, extra hosts, links, own addresses.
func (h Hosts) Content() []byte {
	var b strings.Builder
	line := func(addr netip.Addr, names string) {
		if addr.IsValid() && !(h.NoIPv6 && addr.Is6()) {
			fmt.Fprintf(&b, "%s\t%s\n", addr, names)
		}
	}
	line(netip.MustParseAddr("127.0.0.1"), "localhost")
	line(netip.IPv6Loopback(), "localhost ip6-localhost ip6-loopback")
	line(netip.MustParseAddr("fe00::"), "ip6-localnet")
	line(netip.MustParseAddr("ff00::"), "ip6-mcastprefix")
	line(netip.MustParseAddr("ff02::1"), "ip6-allnodes")
	line(netip.MustParseAddr("ff02::2"), "ip6-allrouters")
	for _, x := range h.Extra {
		line(x.Addr, x.Name)
	}
	for _, l := range h.Links {
		line(l.Addr, l.names())
	}
	for _, a := range h.Addrs {
		line(a, ownNames(h.Hostname))
	}
	return []byte(b.String())
}

// names are the alias, the hostname and, where it differs, the name, as
// Docker's legacy links have them.
func (l HostLink) names() string {
	names := l.Alias
	if l.Hostname != "" {
		names += " " + l.Hostname
	}
	if l.Name != "" && l.Name != l.Alias {
		names += " " + l.Name
	}
	return names
}

func ownNames(hostname string) string {
	if short, _, qualified := strings.Cut(hostname, "."); qualified {
		return hostname + " " + short
	}
	return hostname
}

// Hostname returns the content of an /etc/hostname.
func Hostname(name string) []byte { return []byte(name + "\n") }
