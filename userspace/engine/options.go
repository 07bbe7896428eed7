// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

const (
	defaultMTU = 1500
	// minMTU4 and minMTU6 are the least that the families work with (RFC 791,
	// RFC 8200); maxMTU is the bridge device's own limit.
	minMTU4 = 68
	minMTU6 = 1280
	maxMTU  = 65535
	// maxIfName is IFNAMSIZ without the terminating zero.
	maxIfName = 15
)

// optionSetter puts one parsed option into a Bridge.
type optionSetter func(b *model.Bridge, value string) error

// bridgeOptions are the options of the bridge driver and how each is parsed.
// The enable_ipv4 and enable_ipv6 keys are read by families before.
func bridgeOptions() map[string]optionSetter {
	return map[string]optionSetter{
		model.OptBridgeName:   setBridgeName,
		model.OptMasquerade:   boolOption(func(b *model.Bridge) *bool { return &b.Masquerade }),
		model.OptICC:          boolOption(func(b *model.Bridge) *bool { return &b.ICC }),
		model.OptInhibitIPv4:  boolOption(func(b *model.Bridge) *bool { return &b.InhibitIPv4 }),
		model.OptHostBinding:  setHostBinding,
		model.OptGatewayMode4: modeOption(func(b *model.Bridge) *model.GatewayMode { return &b.GatewayMode4 }),
		model.OptGatewayMode6: modeOption(func(b *model.Bridge) *model.GatewayMode { return &b.GatewayMode6 }),
		model.OptTrusted:      setTrusted,
		model.OptHostIPv4:     setHostIPv4,
		model.OptHostIPv6:     setHostIPv6,
		model.OptMTU:          setMTU,
		model.OptIfacePrefix:  setIfacePrefix,
		model.OptEnableIPv4:   func(*model.Bridge, string) error { return nil },
		model.OptEnableIPv6:   func(*model.Bridge, string) error { return nil },
	}
}

// parseBridge turns driver options into a Bridge with Docker's defaults. The
// device of network id is called br-<id> unless an option names it.
func parseBridge(id string, opts map[string]string) (model.Bridge, error) {
	b := model.Bridge{
		Name: "br-" + shortID(id), ICC: true, Masquerade: true,
		GatewayMode4: model.GatewayNAT, GatewayMode6: model.GatewayNAT,
		MTU: defaultMTU, IfacePrefix: "eth",
	}
	setters := bridgeOptions()
	for _, key := range slices.Sorted(maps.Keys(opts)) {
		set, ok := setters[key]
		if !ok {
			known := slices.Sorted(maps.Keys(setters))
			return b, fmt.Errorf("option %q: unknown; known are %s", key, strings.Join(known, ", "))
		}
		if err := set(&b, opts[key]); err != nil {
			return b, fmt.Errorf("option %s=%s: %w", key, opts[key], err)
		}
	}
	return b, nil
}

// families says which address families a network has: explicit choices win
// over option keys, which win over Docker's default of IPv4 only.
func families(enable4, enable6 *bool, opts map[string]string) (v4, v6 bool, err error) {
	if v4, err = family(enable4, opts, model.OptEnableIPv4, true); err != nil {
		return
	}
	if v6, err = family(enable6, opts, model.OptEnableIPv6, false); err != nil {
		return
	}
	if !v4 && !v6 {
		err = fmt.Errorf("neither IPv4 nor IPv6 is enabled: want at least one")
	}
	return
}

func family(explicit *bool, opts map[string]string, key string, def bool) (bool, error) {
	if explicit != nil {
		return *explicit, nil
	}
	s, ok := opts[key]
	if !ok {
		return def, nil
	}
	on, err := strconv.ParseBool(s)
	if err != nil {
		return false, fmt.Errorf("option %s=%s: want true or false", key, s)
	}
	return on, nil
}

// checkBridge refuses combinations that can't work; b's network has the
// families v4 and v6.
func checkBridge(b model.Bridge, internal, v4, v6 bool) error {
	modes := []struct {
		on   bool
		key  string
		mode model.GatewayMode
	}{{v4, model.OptGatewayMode4, b.GatewayMode4}, {v6, model.OptGatewayMode6, b.GatewayMode6}}
	for _, m := range modes {
		if m.mode == model.GatewayIsolated && !internal {
			return fmt.Errorf("option %s=%s: only for --internal networks", m.key, m.mode)
		}
	}
	if v6 && b.MTU < minMTU6 {
		return fmt.Errorf("option %s=%d: IPv6 wants at least %d", model.OptMTU, b.MTU, minMTU6)
	}
	return nil
}

func boolOption(field func(*model.Bridge) *bool) optionSetter {
	return func(b *model.Bridge, v string) (err error) {
		if *field(b), err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("want true or false")
		}
		return nil
	}
}

func modeOption(field func(*model.Bridge) *model.GatewayMode) optionSetter {
	return func(b *model.Bridge, v string) error {
		switch m := model.GatewayMode(v); m {
		case model.GatewayNAT, model.GatewayNATUnprotected, model.GatewayRouted, model.GatewayIsolated:
			*field(b) = m
			return nil
		}
		return fmt.Errorf("want nat, nat-unprotected, routed or isolated")
	}
}

func setBridgeName(b *model.Bridge, v string) error {
	if err := checkIfName(v); err != nil {
		return err
	}
	b.Name = v
	return nil
}

// checkIfName applies the kernel's dev_valid_name.
func checkIfName(v string) error {
	if v == "" || len(v) > maxIfName || v == "." || v == ".." {
		return fmt.Errorf("want a device name of 1 to %d bytes", maxIfName)
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' || r == '%' }) {
		return fmt.Errorf("want a device name without spaces, '/', ':' and '%%'")
	}
	return nil
}

func setIfacePrefix(b *model.Bridge, v string) error {
	// Two digits must fit behind it.
	if err := checkIfName(v + "00"); err != nil {
		return fmt.Errorf("want a device name prefix of 1 to %d bytes", maxIfName-2)
	}
	if v == "" || v == "lo" {
		return fmt.Errorf("want a prefix other than %q", v)
	}
	b.IfacePrefix = v
	return nil
}

func setHostBinding(b *model.Bridge, v string) error {
	a, err := netip.ParseAddr(v)
	if err != nil || a.Zone() != "" {
		return fmt.Errorf("want an address of the host")
	}
	// 0.0.0.0 is Docker's way to say all addresses of both families.
	if a != netip.IPv4Unspecified() {
		b.HostBinding = a.Unmap()
	}
	return nil
}

func setHostIPv4(b *model.Bridge, v string) error {
	a, err := netip.ParseAddr(v)
	if err != nil || !a.Is4() {
		return fmt.Errorf("want an IPv4 address")
	}
	b.HostIPv4 = a
	return nil
}

func setHostIPv6(b *model.Bridge, v string) error {
	a, err := netip.ParseAddr(v)
	if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" {
		return fmt.Errorf("want an IPv6 address")
	}
	b.HostIPv6 = a
	return nil
}

func setMTU(b *model.Bridge, v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < minMTU4 || n > maxMTU {
		return fmt.Errorf("want %d to %d bytes, at least %d with IPv6", minMTU4, maxMTU, minMTU6)
	}
	b.MTU = n
	return nil
}

func setTrusted(b *model.Bridge, v string) error {
	for name := range strings.SplitSeq(v, ":") {
		if err := checkIfName(name); err != nil {
			return fmt.Errorf("interface %q: want device names separated by ':'", name)
		}
		b.TrustedHostInterfaces = append(b.TrustedHostInterfaces, name)
	}
	return nil
}
