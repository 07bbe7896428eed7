// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

// DefaultMTU is what a bridge gets without the option, whatever the uplink has.
const DefaultMTU = 1500

const (
	// minMTU4 and minMTU6 are the least that the families work with (RFC 791,
	// RFC 8200); maxMTU is the bridge device's own limit.
	minMTU4, minMTU6, maxMTU = 68, 1280, 65535
	// maxIfName is IFNAMSIZ without the terminating zero.
	maxIfName = 15
)

// dockerBridge is the device of a Docker Engine's predefined network.
const dockerBridge = "docker0"

// setter puts the value of one option into b. Strict refuses what can't work.
type setter func(b *model.Bridge, value string, strict bool) error

// setters are the options of bridge networks that users can give. Families reads those
// of the address families.
func setters() map[string]setter {
	return map[string]setter{
		model.OptBridgeName:   setBridgeName,
		model.OptMasquerade:   boolean(func(b *model.Bridge) *bool { return &b.Masquerade }),
		model.OptICC:          boolean(func(b *model.Bridge) *bool { return &b.ICC }),
		model.OptInhibitIPv4:  boolean(func(b *model.Bridge) *bool { return &b.InhibitIPv4 }),
		model.OptHostBinding:  setHostBinding,
		model.OptGatewayMode4: mode(func(b *model.Bridge) *model.GatewayMode { return &b.GatewayMode4 }),
		model.OptGatewayMode6: mode(func(b *model.Bridge) *model.GatewayMode { return &b.GatewayMode6 }),
		model.OptTrusted:      setTrusted,
		model.OptHostIPv4:     source(func(b *model.Bridge) *netip.Addr { return &b.HostIPv4 }, netip.Addr.Is4, "IPv4"),
		model.OptHostIPv6:     source(func(b *model.Bridge) *netip.Addr { return &b.HostIPv6 }, isIPv6, "IPv6"),
		model.OptMTU:          setMTU,
		model.OptIfacePrefix:  setIfacePrefix,
		model.OptEnableIPv4:   nothing,
		model.OptEnableIPv6:   nothing,
	}
}

// ParseBridge reads the options of a network that is to be made, with Docker's defaults.
// The device of network id is called br-<id> unless an option names it. Errors name the
// option and its value.
func ParseBridge(id string, options map[string]string) (model.Bridge, error) {
	known := setters()
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if known[key] == nil {
			return model.Bridge{}, fmt.Errorf("option %q: unknown; known are %s", key,
				strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
	}
	b := defaults(BridgeName(id, nil))
	return b, set(&b, options, true)
}

// ReadBridge reads the options of a network that a Docker Engine has made. It has
// accepted them: keys that aren't known are its affair, and values that are odd its
// decision.
func ReadBridge(id string, options map[string]string) (model.Bridge, error) {
	b := defaults(BridgeName(id, options))
	b.Default = isDefault(options)
	if err := set(&b, options, false); err != nil {
		return b, err
	}
	if b.Default {
		// --iptables=false turns --ip-masq off, whatever was wanted, and the
		// option says so (daemon_unix.go verifyDaemonSettings).
		b.Masquerade = true
	}
	return b, nil
}

// DefaultBridge are the options of the predefined network, with the device of that name.
func DefaultBridge(name string) model.Bridge {
	b := defaults(name)
	b.Default = true
	return b
}

func defaults(name string) model.Bridge {
	return model.Bridge{
		Name: name, ICC: true, Masquerade: true, GatewayMode4: model.GatewayNAT, GatewayMode6: model.GatewayNAT,
		MTU: DefaultMTU, IfacePrefix: "eth",
	}
}

func set(b *model.Bridge, options map[string]string, strict bool) error {
	known := setters()
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if known[key] == nil {
			continue
		}
		if err := known[key](b, options[key], strict); err != nil {
			return fmt.Errorf("option %s=%s: %w", key, options[key], err)
		}
	}
	return nil
}

// BridgeName returns the device of a bridge network of Docker's model.
func BridgeName(id string, options map[string]string) string {
	if name := options[model.OptBridgeName]; name != "" {
		return name
	}
	if isDefault(options) {
		return dockerBridge
	}
	return "br-" + id[:min(12, len(id))]
}

func isDefault(options map[string]string) bool {
	on, err := strconv.ParseBool(options[model.OptDefaultBridge])
	return err == nil && on
}

// Families says which address families a network has: explicit choices win over
// options, which win over Docker's default of IPv4 only.
func Families(enable4, enable6 *bool, options map[string]string) (v4, v6 bool, err error) {
	if v4, err = family(enable4, options, model.OptEnableIPv4, true); err != nil {
		return
	}
	if v6, err = family(enable6, options, model.OptEnableIPv6, false); err != nil {
		return
	}
	if !v4 && !v6 {
		err = errors.New("neither IPv4 nor IPv6 is enabled: want at least one")
	}
	return
}

func family(explicit *bool, options map[string]string, key string, without bool) (bool, error) {
	if explicit != nil {
		return *explicit, nil
	}
	s, given := options[key]
	if !given {
		return without, nil
	}
	on, err := strconv.ParseBool(s)
	if err != nil {
		return false, fmt.Errorf("option %s=%s: want true or false", key, s)
	}
	return on, nil
}

// CheckBridge refuses combinations that can't work; b's network has the families v4
// and v6.
func CheckBridge(b model.Bridge, internal, v4, v6 bool) error {
	for _, m := range []struct {
		on   bool
		key  string
		mode model.GatewayMode
	}{{v4, model.OptGatewayMode4, b.GatewayMode4}, {v6, model.OptGatewayMode6, b.GatewayMode6}} {
		if m.on && m.mode == model.GatewayIsolated && !internal {
			return fmt.Errorf("option %s=%s: only for --internal networks", m.key, m.mode)
		}
	}
	if v6 && b.MTU < minMTU6 {
		return fmt.Errorf("option %s=%d: IPv6 wants at least %d", model.OptMTU, b.MTU, minMTU6)
	}
	return nil
}

func nothing(*model.Bridge, string, bool) error { return nil }

func boolean(field func(*model.Bridge) *bool) setter {
	return func(b *model.Bridge, v string, _ bool) (err error) {
		if *field(b), err = strconv.ParseBool(v); err != nil {
			return errors.New("want true or false")
		}
		return nil
	}
}

// mode reads a gateway mode; empty is Docker's word for its default.
func mode(field func(*model.Bridge) *model.GatewayMode) setter {
	return func(b *model.Bridge, v string, _ bool) error {
		switch m := model.GatewayMode(v); m {
		case "":
			*field(b) = model.GatewayNAT
		case model.GatewayNAT, model.GatewayNATUnprotected, model.GatewayRouted, model.GatewayIsolated:
			*field(b) = m
		default:
			return errors.New("want nat, nat-unprotected, routed or isolated")
		}
		return nil
	}
}

func setBridgeName(b *model.Bridge, v string, strict bool) error {
	if !strict {
		// BridgeName has read it.
		return nil
	}
	if err := checkIfName(v); err != nil {
		return err
	}
	b.Name = v
	return nil
}

// checkIfName applies the kernel's dev_valid_name, and refuses what tools stumble over.
func checkIfName(v string) error {
	if v == "" || len(v) > maxIfName || v == "." || v == ".." {
		return fmt.Errorf("want a device name of 1 to %d bytes", maxIfName)
	}
	if strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' || r == '%' }) {
		return errors.New("want a device name without spaces, '/', ':' and '%'")
	}
	return nil
}

func setIfacePrefix(b *model.Bridge, v string, strict bool) error {
	// Two digits must fit behind it.
	if strict && (v == "" || v == "lo" || checkIfName(v+"00") != nil) {
		return fmt.Errorf("want a device name prefix of 1 to %d bytes other than %q", maxIfName-2, "lo")
	}
	b.IfacePrefix = v
	return nil
}

func setHostBinding(b *model.Bridge, v string, strict bool) error {
	a, err := address(v, strict)
	if err != nil {
		return errors.New("want an address of the host")
	}
	// 0.0.0.0 is Docker's way to say all addresses of both families.
	if a != netip.IPv4Unspecified() {
		b.HostBinding = a
	}
	return nil
}

// source reads an address that masqueraded traffic gets.
func source(field func(*model.Bridge) *netip.Addr, fits func(netip.Addr) bool, family string) setter {
	return func(b *model.Bridge, v string, strict bool) error {
		a, err := address(v, strict)
		if err != nil || strict && !fits(a) {
			return fmt.Errorf("want an %s address", family)
		}
		*field(b) = a
		return nil
	}
}

func isIPv6(a netip.Addr) bool { return a.Is6() }

// address reads an address without a zone; an empty one is none, unless strict.
func address(v string, strict bool) (netip.Addr, error) {
	if v == "" && !strict {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(v)
	if err == nil && a.Zone() != "" {
		err = errors.New("has a zone")
	}
	return a.Unmap(), err
}

// setMTU reads an MTU in bytes; 0 is Docker's word for its default.
func setMTU(b *model.Bridge, v string, strict bool) error {
	n, err := strconv.Atoi(v)
	switch {
	case err != nil, strict && n != 0 && (n < minMTU4 || n > maxMTU):
		return fmt.Errorf("want %d to %d bytes, at least %d with IPv6, or 0 for %d", minMTU4, maxMTU, minMTU6, DefaultMTU)
	case n == 0:
		n = DefaultMTU
	}
	b.MTU = n
	return nil
}

func setTrusted(b *model.Bridge, v string, strict bool) error {
	b.TrustedHostInterfaces = nil
	for name := range strings.SplitSeq(v, ":") {
		if name == "" && !strict {
			continue
		}
		if err := checkIfName(name); err != nil && strict {
			return fmt.Errorf("interface %q: want device names separated by ':'", name)
		}
		b.TrustedHostInterfaces = append(b.TrustedHostInterfaces, name)
	}
	return nil
}
