// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/request"
)

// flowFilter reads the filters of flow ls: values of one key are alternatives,
// all keys must match. An address, a port, a sandbox or a network is that of any end.
func (a *app) flowFilter(ctx context.Context, entries []string) (func(api.Flow) bool, error) {
	f, err := api.ParseFilters(entries, api.FlowFilterKeys())
	if err != nil {
		return nil, err
	}
	if err := a.resolveNames(ctx, f); err != nil {
		return nil, err
	}
	for _, v := range f["address"] {
		if _, err := netip.ParsePrefix(asPrefix(v)); err != nil {
			return nil, request.Errorf(request.ErrInvalid, "filter address=%s: want an address or a prefix", v)
		}
	}
	for _, v := range f["port"] {
		if _, err := strconv.ParseUint(v, 10, 16); err != nil {
			return nil, request.Errorf(request.ErrInvalid, "filter port=%s: want a number up to 65535", v)
		}
	}
	return func(fl api.Flow) bool {
		return oneOf(f["proto"], fl.ProtoName, strconv.Itoa(int(fl.Proto))) && oneOf(f["kind"], fl.Kind) &&
			oneOf(f["state"], fl.State) &&
			isNamed(f["sandbox"], fl.Sandbox, fl.Opener.Sandbox, fl.Target.Sandbox) &&
			isNamed(f["opener"], fl.Opener.Sandbox) && isNamed(f["target"], fl.Target.Sandbox) &&
			isNamed(f["service"], fl.Service) &&
			isNamed(f["network"], fl.Network, fl.Opener.Network, fl.Target.Network) &&
			hasAddress(f["address"], fl) && hasPort(f["port"], fl)
	}, nil
}

// resolveNames replaces IDs in the filters by names, and refuses what nothing is called.
func (a *app) resolveNames(ctx context.Context, f api.Filters) error {
	if len(f["sandbox"])+len(f["opener"])+len(f["target"]) > 0 {
		list, err := a.client().Sandboxes(ctx, true, nil)
		if err != nil {
			return err
		}
		var names []string
		known := make(map[string]string)
		for _, s := range list {
			// Whose namespace is another's has no connections of its own name.
			known[s.Name] = cmp.Or(s.SharedWith, s.Name)
			known[s.ID] = known[s.Name]
			names = append(names, s.Name)
		}
		for _, key := range []string{"sandbox", "opener", "target"} {
			if err := resolve(f, key, known, names); err != nil {
				return err
			}
		}
	}
	if len(f["network"]) == 0 {
		return nil
	}
	list, err := a.client().Networks(ctx, nil)
	if err != nil {
		return err
	}
	var names []string
	known := make(map[string]string)
	for _, n := range list {
		known[n.Name], known[n.ID] = n.Name, n.Name
		names = append(names, n.Name)
	}
	return resolve(f, "network", known, names)
}

// resolve replaces the values of one key by what known has for them, which are names
// and IDs.
func resolve(f api.Filters, key string, known map[string]string, names []string) error {
	find := func(ref string) (name string, ok bool) {
		if name, ok = known[ref]; ok || ref == "" {
			return name, ok
		}
		for id, name := range known {
			if len(id) == idLength && strings.HasPrefix(id, ref) {
				return name, true
			}
		}
		return "", false
	}
	if err := f.CheckNames(key, func(v string) bool { _, ok := find(v); return ok }, names); err != nil {
		return err
	}
	for i, v := range f[key] {
		f[key][i], _ = find(v)
	}
	return nil
}

// idLength is that of an ID in full; no sandbox's name is as long.
const idLength = 64

// isNamed compares names, whose case counts.
func isNamed(want []string, have ...string) bool {
	return len(want) == 0 || slices.ContainsFunc(want, func(w string) bool { return w != "" && slices.Contains(have, w) })
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
