// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// poolFlag and poolKey are what dockerd calls its address pools, with a flag per pool
// and one key for all.
const (
	poolFlag = "default-address-pool"
	poolKey  = "default-address-pools"
)

// docker0 is the subnet of Docker's default bridge where nothing else is configured.
var docker0 = netip.MustParsePrefix("172.17.0.0/16")

// Subnets returns what the engine takes by itself, also if it doesn't run yet: the
// subnet of its default bridge, and all of the pools that were configured. Docker's
// own pools are shared, since it looks at the host's routes.
func (e Engine) Subnets() ([]netip.Prefix, error) {
	f, err := readFile(e.Config)
	if err != nil {
		return nil, err
	}
	return subnets(e, f)
}

func subnets(e Engine, f file) ([]netip.Prefix, error) {
	out, err := pools(e, f)
	if err != nil {
		return nil, err
	}
	switch bip := setting(e, f, "bip"); {
	case bip != "":
		p, err := netip.ParsePrefix(bip)
		if err != nil {
			return nil, fmt.Errorf("bip: %w", err)
		}
		out = append(out, p.Masked())
	case !slices.ContainsFunc(out, func(p netip.Prefix) bool { return p.Addr().Is4() }):
		out = append(out, docker0)
	}
	return out, nil
}

// pools are the bases of the engine's address pools.
func pools(e Engine, f file) (out []netip.Prefix, err error) {
	var bases []string
	for _, flag := range strings.Fields(e.Flags[poolFlag]) {
		for part := range strings.SplitSeq(flag, ",") {
			if base, ok := strings.CutPrefix(part, "base="); ok {
				bases = append(bases, base)
			}
		}
	}
	var listed []struct{ Base string }
	if raw, ok := f[poolKey]; ok {
		if err := json.Unmarshal(raw, &listed); err != nil {
			return nil, fmt.Errorf("%s: %w", poolKey, err)
		}
	}
	for _, p := range listed {
		bases = append(bases, p.Base)
	}
	for _, base := range bases {
		p, err := netip.ParsePrefix(base)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", poolKey, err)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}
