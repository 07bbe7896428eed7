// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

// Docker's option keys (libnetwork/netlabel and drivers/bridge/labels.go).
const (
	optBridgeName    = "com.docker.network.bridge.name"
	optDefaultBridge = "com.docker.network.bridge.default_bridge"
	optMasquerade    = "com.docker.network.bridge.enable_ip_masquerade"
	optICC           = "com.docker.network.bridge.enable_icc"
	optHostBinding   = "com.docker.network.bridge.host_binding_ipv4"
	optGatewayMode4  = "com.docker.network.bridge.gateway_mode_ipv4"
	optGatewayMode6  = "com.docker.network.bridge.gateway_mode_ipv6"
	optInhibitIPv4   = "com.docker.network.bridge.inhibit_ipv4"
	optTrusted       = "com.docker.network.bridge.trusted_host_interfaces"
	optHostIPv4      = "com.docker.network.host_ipv4"
	optHostIPv6      = "com.docker.network.host_ipv6"
	optMTU           = "com.docker.network.driver.mtu"
	optIfacePrefix   = "com.docker.network.container_iface_prefix"
)

// defaultMTU is what Docker gives a bridge without the option, whatever the
// uplink has.
const defaultMTU = 1500

// dockerBridge is the device of the predefined network.
const dockerBridge = "docker0"

// BridgeName returns the device of a bridge network.
func BridgeName(id string, options map[string]string) string {
	if name := options[optBridgeName]; name != "" {
		return name
	}
	if isDefault(options) {
		return dockerBridge
	}
	return "br-" + id[:min(12, len(id))]
}

func isDefault(options map[string]string) bool {
	on, err := strconv.ParseBool(options[optDefaultBridge])
	return err == nil && on
}

// bridge reads the options. Keys that Fairway doesn't know are Docker's affair:
// it has accepted them.
func bridge(id string, options map[string]string) (model.Bridge, error) {
	b := model.Bridge{
		Name: BridgeName(id, options), Default: isDefault(options), ICC: true, Masquerade: true,
		GatewayMode4: model.GatewayNAT, GatewayMode6: model.GatewayNAT, MTU: defaultMTU, IfacePrefix: "eth",
	}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		if err := setOption(&b, key, options[key]); err != nil {
			return b, fmt.Errorf("option %s=%s: %w", key, options[key], err)
		}
	}
	if b.Default {
		// --iptables=false turns --ip-masq off, whatever was wanted, and the
		// option says so (daemon_unix.go verifyDaemonSettings).
		b.Masquerade = true
	}
	return b, nil
}

func setOption(b *model.Bridge, key, value string) (err error) {
	switch key {
	case optMasquerade:
		b.Masquerade, err = strconv.ParseBool(value)
	case optICC:
		b.ICC, err = strconv.ParseBool(value)
	case optInhibitIPv4:
		b.InhibitIPv4, err = strconv.ParseBool(value)
	case optMTU:
		// 0 is Docker's word for its default.
		if n, numErr := strconv.Atoi(value); numErr != nil || n != 0 {
			b.MTU, err = n, numErr
		}
	case optHostIPv4:
		b.HostIPv4, err = optionalAddr(value)
	case optHostIPv6:
		b.HostIPv6, err = optionalAddr(value)
	case optHostBinding:
		a, addrErr := optionalAddr(value)
		if err = addrErr; a != netip.IPv4Unspecified() {
			b.HostBinding = a
		}
	case optGatewayMode4:
		b.GatewayMode4, err = gatewayMode(value)
	case optGatewayMode6:
		b.GatewayMode6, err = gatewayMode(value)
	case optTrusted:
		b.TrustedHostInterfaces = strings.FieldsFunc(value, func(r rune) bool { return r == ':' })
	case optIfacePrefix:
		b.IfacePrefix = value
	}
	return err
}

func optionalAddr(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err
}

func gatewayMode(s string) (model.GatewayMode, error) {
	switch m := model.GatewayMode(s); m {
	case model.GatewayNAT, model.GatewayNATUnprotected, model.GatewayRouted, model.GatewayIsolated:
		return m, nil
	case "":
		return model.GatewayNAT, nil
	}
	return "", fmt.Errorf("want nat, nat-unprotected, routed or isolated")
}
