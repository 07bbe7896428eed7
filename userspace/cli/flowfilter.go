// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/api"
)

// flowFilter reads the filters of flow ls: values of one key are alternatives,
// all keys must match. An address or port matches any of the connection's.
func flowFilter(entries []string) (func(api.Flow) bool, error) {
	f, err := api.ParseFilters(entries, "proto", "kind", "state", "sandbox", "network", "address", "port")
	if err != nil {
		return nil, err
	}
	for _, v := range f["address"] {
		if _, err := netip.ParsePrefix(asPrefix(v)); err != nil {
			return nil, api.Errorf(api.ErrInvalid, "filter address=%s: want an address or a prefix", v)
		}
	}
	for _, v := range f["port"] {
		if _, err := strconv.ParseUint(v, 10, 16); err != nil {
			return nil, api.Errorf(api.ErrInvalid, "filter port=%s: want a number up to 65535", v)
		}
	}
	return func(fl api.Flow) bool {
		return oneOf(f["proto"], fl.ProtoName, strconv.Itoa(int(fl.Proto))) && oneOf(f["kind"], fl.Kind) &&
			oneOf(f["state"], fl.State) && oneOf(f["sandbox"], fl.Sandbox) && oneOf(f["network"], fl.Network) &&
			hasAddress(f["address"], fl) && hasPort(f["port"], fl)
	}, nil
}

func oneOf(want []string, have ...string) bool {
	return len(want) == 0 || slices.ContainsFunc(want, func(w string) bool {
		return slices.ContainsFunc(have, func(h string) bool { return strings.EqualFold(w, h) })
	})
}

// asPrefix makes an address the prefix of itself alone.
func asPrefix(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()).String()
	}
	return s
}

func ends(f api.Flow) []netip.AddrPort { return []netip.AddrPort{f.Src, f.Dst, f.NATSrc, f.NATDst} }

func hasAddress(want []string, f api.Flow) bool {
	return len(want) == 0 || slices.ContainsFunc(want, func(w string) bool {
		prefix, err := netip.ParsePrefix(asPrefix(w))
		return err == nil && slices.ContainsFunc(ends(f), func(e netip.AddrPort) bool { return prefix.Contains(e.Addr()) })
	})
}

func hasPort(want []string, f api.Flow) bool {
	return len(want) == 0 || slices.ContainsFunc(ends(f), func(e netip.AddrPort) bool {
		return slices.Contains(want, strconv.Itoa(int(e.Port())))
	})
}
