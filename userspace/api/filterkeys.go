// SPDX-License-Identifier: Apache-2.0

package api

import (
	"slices"
	"strconv"
	"strings"

	"github.com/fairway-project/fairway/userspace/model"
)

// FilterKey is a key of a list's --filter.
type FilterKey struct {
	Name string
	// Values are all that there are, in any case if AnyCase; none if the key takes
	// any value, or a name.
	Values  []string
	AnyCase bool
	// Numbers up to 255 serve beside Values: they are IP protocols.
	Numbers bool
}

func owners() []string {
	return []string{string(model.OwnerFairway), string(model.OwnerDocker), string(model.OwnerDockerPlugin)}
}

// NetworkFilterKeys are the keys of GET /v1/networks.
func NetworkFilterKeys() []FilterKey {
	return []FilterKey{
		{Name: "dangling", Values: []string{"true", "false", "1", "0"}},
		{Name: "driver", Values: []string{string(model.DriverBridge), string(model.DriverHost), string(model.DriverNull)}},
		{Name: "id"}, {Name: "label"}, {Name: "name"},
		{Name: "owner", Values: owners()},
		{Name: "scope", Values: []string{ScopeLocal}},
		{Name: "type", Values: []string{"custom", "builtin"}},
	}
}

// PruneFilterKeys are the keys of POST /v1/networks/prune.
func PruneFilterKeys() []FilterKey {
	return []FilterKey{{Name: "label"}, {Name: "label!"}, {Name: "until"}}
}

// SandboxFilterKeys are the keys of GET /v1/sandboxes.
func SandboxFilterKeys() []FilterKey {
	return []FilterKey{
		{Name: "id"}, {Name: "label"}, {Name: "name"}, {Name: "network"},
		{Name: "owner", Values: owners()},
		{Name: "status", Values: []string{string(model.StatusCreated), string(model.StatusRunning), string(model.StatusExited)}},
	}
}

// ServiceFilterKeys are the keys of GET /v1/services.
func ServiceFilterKeys() []FilterKey {
	return []FilterKey{
		{Name: "backend"}, {Name: "id"}, {Name: "label"}, {Name: "name"}, {Name: "network"},
		{Name: "owner", Values: owners()},
	}
}

// BackendFilterKeys are the keys of GET /v1/services/{service}/backends.
func BackendFilterKeys() []FilterKey {
	return []FilterKey{
		{Name: "name"},
		{Name: "state", Values: []string{string(model.BackendActive), string(model.BackendDraining), string(model.BackendDown)}},
	}
}

// FlowFilterKeys are the keys by which the command line selects connections; the
// API has no filter for them.
func FlowFilterKeys() []FilterKey {
	return []FilterKey{
		{Name: "proto", Values: []string{"tcp", "udp", "icmp", "icmpv6", "sctp", "gre", "esp"}, AnyCase: true, Numbers: true},
		{Name: "kind", Values: []string{"masquerade", "published", "hairpin", "routed", "relay"}, AnyCase: true},
		{Name: "state", Values: flowStates(), AnyCase: true},
		{Name: "sandbox"}, {Name: "opener"}, {Name: "target"}, {Name: "service"}, {Name: "network"}, {Name: "address"}, {Name: "port"},
	}
}

// flowStates are netfilter's names for TCP (linux/netfilter/nf_conntrack_tcp.h), and
// the three of other protocols.
func flowStates() []string {
	return []string{
		"SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2", "NONE",
		"UNREPLIED", "REPLIED", "ASSURED",
	}
}

// allows reports whether something can have the value.
func (k FilterKey) allows(value string) bool {
	if k.Values == nil {
		return true
	}
	if _, err := strconv.ParseUint(value, 10, 8); k.Numbers && err == nil {
		return true
	}
	return slices.ContainsFunc(k.Values, func(v string) bool {
		return v == value || k.AnyCase && strings.EqualFold(v, value)
	})
}

func (k FilterKey) want() string {
	text := strings.Join(k.Values, ", ")
	if len(k.Values) > 1 {
		text = "one of " + text
	}
	if k.Numbers {
		text += ", or a protocol's number"
	}
	return text
}
