// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"log/slog"
	"time"

	"github.com/fairway-project/fairway/userspace/datapath/ebpf/expiry"
	"github.com/fairway-project/fairway/userspace/model"
)

// Config says where the datapath keeps things and how it treats flows.
type Config struct {
	// BPFFS is this instance's directory on a BPF filesystem; required.
	BPFFS string
	// RunDir is the daemon's run directory; required.
	RunDir string
	// CgroupPath is the root of the cgroup v2 hierarchy; found if empty.
	CgroupPath string
	// FlowTableSize is the number of entries per flow table, two for each
	// connection; 0 derives it from the memory (loader.DefaultFlowEntries).
	FlowTableSize uint32
	// MasqueradePorts bounds the source ports that masquerading chooses; zero for
	// 1024-65535.
	MasqueradePorts model.PortRange
	// EndpointReserve is how many percent of each flow table, and of the source ports
	// towards each destination, are kept for endpoints that have less than their even
	// part of it; 0 to 50.
	EndpointReserve uint32
	// Timeouts of connections; zero fields are netfilter's defaults.
	Timeouts expiry.Timeouts
	// CollectInterval is the time between two collections of expired flows;
	// 0 is 5 s. Tables that are full are collected sooner.
	CollectInterval time.Duration
	// XDP says which uplinks run the XDP program.
	XDP XDP
	// FirstPacket lets the host's netfilter rules judge what goes between containers
	// and outside; the host has to forward packets. Else they see none of it.
	FirstPacket bool
	// Others says that another instance may work in the network namespace.
	Others bool
	// Build names this build, for another one that finds its tables.
	Build string
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}
