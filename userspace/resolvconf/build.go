// SPDX-License-Identifier: Apache-2.0

package resolvconf

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Overrides are the user's --dns, --dns-search and --dns-option; each list
// that isn't empty replaces the host's.
type Overrides struct {
	Nameservers []netip.Addr
	// Search "." alone means no search domains.
	Search  []string
	Options []string
}

// Upstream is a name server and the place it is asked from.
type Upstream struct {
	Addr netip.Addr
	// FromHost servers are asked from the daemon's network namespace, the
	// others from the sandbox's.
	FromHost bool
}

// Embedded is what a sandbox with an embedded resolver gets.
type Embedded struct {
	Content []byte
	// Upstreams are the servers that the embedded resolver asks.
	Upstreams []Upstream
	// NDotsSet tells that ndots was chosen by the host's file or by the user;
	// the embedded resolver then doesn't forward single-label names.
	NDotsSet bool
}

// ForEmbedded builds the resolv.conf of a sandbox whose name server is the
// embedded one. Servers of the host's file are asked from the host, whose
// addresses and routes they were meant for (loopback ones and other families
// among them); servers that the user gave are asked from the sandbox.
func ForEmbedded(host File, o Overrides) Embedded {
	d := newDraft(host, o, "internal resolver")
	var e Embedded
	for _, a := range d.Nameservers {
		e.Upstreams = append(e.Upstreams, Upstream{Addr: a, FromHost: len(o.Nameservers) == 0})
	}
	d.Options = slices.DeleteFunc(d.Options, invalidNDots)
	if _, e.NDotsSet = option(d.Options, "ndots"); !e.NDotsSet {
		d.Options = append(d.Options, "ndots:0")
		d.ndotsFrom = "internal"
	}
	d.Nameservers = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 11})}
	d.upstreams = e.Upstreams
	if len(e.Upstreams) == 0 {
		d.warnings = append(d.warnings, "NO EXTERNAL NAMESERVERS DEFINED")
	}
	e.Content = d.content()
	return e
}

// ForBridge builds the resolv.conf of a sandbox on the default bridge: the
// user's servers as given, else the host's without loopback ones and, unless
// ipv6, without IPv6 ones; Google's public ones where that leaves none.
func ForBridge(host File, o Overrides, ipv6 bool) []byte {
	d := newDraft(host, o, "legacy")
	if len(o.Nameservers) > 0 {
		return d.content()
	}
	d.Nameservers = slices.DeleteFunc(d.Nameservers, func(a netip.Addr) bool {
		return a.IsLoopback() || a.Is6() && !ipv6
	})
	if len(d.Nameservers) == 0 {
		d.Nameservers = fallback(ipv6)
		d.warnings = append(d.warnings, "Used default nameservers.")
	}
	return d.content()
}

// ForHost builds the resolv.conf of a sandbox in the host's network namespace.
func ForHost(host File, o Overrides) []byte { return newDraft(host, o, "").content() }

// fallback returns the servers that Docker falls back on.
func fallback(ipv6 bool) []netip.Addr {
	addrs := []netip.Addr{netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("8.8.4.4")}
	if ipv6 {
		addrs = append(addrs,
			netip.MustParseAddr("2001:4860:4860::8888"), netip.MustParseAddr("2001:4860:4860::8844"))
	}
	return addrs
}

func invalidNDots(o string) bool {
	k, v, _ := strings.Cut(o, ":")
	n, err := strconv.Atoi(v)
	return k == "ndots" && (err != nil || n < 0)
}
