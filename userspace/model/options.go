// SPDX-License-Identifier: Apache-2.0

package model

// Docker's option keys for bridge networks (libnetwork/netlabel and
// drivers/bridge/labels.go).
const (
	OptBridgeName   = "com.docker.network.bridge.name"
	OptMasquerade   = "com.docker.network.bridge.enable_ip_masquerade"
	OptICC          = "com.docker.network.bridge.enable_icc"
	OptHostBinding  = "com.docker.network.bridge.host_binding_ipv4"
	OptGatewayMode4 = "com.docker.network.bridge.gateway_mode_ipv4"
	OptGatewayMode6 = "com.docker.network.bridge.gateway_mode_ipv6"
	OptInhibitIPv4  = "com.docker.network.bridge.inhibit_ipv4"
	OptTrusted      = "com.docker.network.bridge.trusted_host_interfaces"
	OptHostIPv4     = "com.docker.network.host_ipv4"
	OptHostIPv6     = "com.docker.network.host_ipv6"
	OptMTU          = "com.docker.network.driver.mtu"
	OptIfacePrefix  = "com.docker.network.container_iface_prefix"
	OptEnableIPv4   = "com.docker.network.enable_ipv4"
	OptEnableIPv6   = "com.docker.network.enable_ipv6"
	// OptDefaultBridge marks the predefined network; users can't give it.
	OptDefaultBridge = "com.docker.network.bridge.default_bridge"
)
