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

// defaultMTU is what Docker gives a bridge without the option, whatever the
// uplink has.
const defaultMTU = 1500

// dockerBridge is the device of the predefined network.
const dockerBridge = "docker0"

// BridgeName returns the device of a bridge network.
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
	case model.OptMasquerade:
		b.Masquerade, err = strconv.ParseBool(value)
	case model.OptICC:
		b.ICC, err = strconv.ParseBool(value)
	case model.OptInhibitIPv4:
		b.InhibitIPv4, err = strconv.ParseBool(value)
	case model.OptMTU:
		// 0 is Docker's word for its default.
		if n, numErr := strconv.Atoi(value); numErr != nil || n != 0 {
			b.MTU, err = n, numErr
		}
	case model.OptHostIPv4:
		b.HostIPv4, err = optionalAddr(value)
	case model.OptHostIPv6:
		b.HostIPv6, err = optionalAddr(value)
	case model.OptHostBinding:
		a, addrErr := optionalAddr(value)
		if err = addrErr; a != netip.IPv4Unspecified() {
			b.HostBinding = a
		}
	case model.OptGatewayMode4:
		b.GatewayMode4, err = gatewayMode(value)
	case model.OptGatewayMode6:
		b.GatewayMode6, err = gatewayMode(value)
	case model.OptTrusted:
		b.TrustedHostInterfaces = strings.FieldsFunc(value, func(r rune) bool { return r == ':' })
	case model.OptIfacePrefix:
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
