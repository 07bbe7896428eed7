// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// Drop reasons by the names that the eBPF datapath has for the same refusals
// (enum drop_reason in bpf/types.h, in lower case).
const (
	reasonIsolated      = "isolated"
	reasonICC           = "icc"
	reasonInternal      = "internal"
	reasonDirectRouting = "direct_routing"
	reasonMartian       = "martian"
	reasonNoBackend     = "no_backend"
	reasonSource        = "service_source"
)

// dropReason tells why and in which direction a DROP rule of this package
// refuses packets; ok is false for all other rules.
//
// DOCKER's last rule counts as isolated: what comes from outside was caught by
// the raw table unless the network is a routed one.
func dropReason(table, chain, spec string) (reason string, dir datapath.Direction, ok bool) {
	if table == tableFilter && chain == chainServices && strings.Contains(spec, "-j REJECT") {
		return reasonNoBackend, datapath.Receive, true
	}
	if !strings.HasSuffix(spec, "-j DROP") {
		return "", "", false
	}
	switch {
	case chain == chainServices:
		return reasonSource, datapath.Receive, true
	case table == tableRaw && strings.Contains(spec, " ! -i lo "):
		return reasonMartian, datapath.Receive, true
	case table == tableRaw:
		return reasonDirectRouting, datapath.Receive, true
	case chain == chainInternal && strings.Contains(spec, "! -s "):
		return reasonInternal, datapath.Receive, true
	case chain == chainInternal:
		return reasonInternal, datapath.Transmit, true
	case chain == chainForward:
		return reasonICC, datapath.Transmit, true
	case chain == chainDocker:
		return reasonIsolated, datapath.Receive, true
	}
	return "", "", false
}
