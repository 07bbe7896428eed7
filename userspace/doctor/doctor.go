// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/request"
)

// Options say which daemon the host is checked for; it needn't run.
type Options struct {
	Mode datapath.Mode
	// Netfilter is what the host's own rules mean in Mode ebpf; empty for bypass.
	Netfilter datapath.Netfilter
	// RunDir and BPFFS are the daemon's directories.
	RunDir, BPFFS string
	// Uplinks are the devices that lead outside; empty for all that may.
	Uplinks []string
	// FlowTableSize is the number of entries of each flow table; 0 for the default.
	FlowTableSize uint32
}

// Run checks the host. The error is for what prevents checking at all; whatever
// is wrong with the host is a check.
func Run(ctx context.Context, o Options) ([]request.Check, error) {
	f, err := gather(ctx, o)
	if err != nil {
		return nil, err
	}
	return judge(f), nil
}

// judge applies all judgements to the facts.
func judge(f *facts) []request.Check {
	if f.blind {
		return judgeBy(f, privileges, unseen, mounts, memory, files)
	}
	return judgeBy(f,
		privileges, kernel, mounts, memory, files,
		forwarding, reversePath, bridgeFilter, firewall, localPorts, conntrack,
		uplinks, mtus, offloads, foreignPrograms,
		daemon, socket, reservations, leftovers)
}

func judgeBy(f *facts, judges ...func(*facts) []request.Check) []request.Check {
	var all []request.Check
	for _, j := range judges {
		all = append(all, j(f)...)
	}
	return all
}

func ok(name, fact string) request.Check {
	return request.Check{Name: name, Result: request.OK, Fact: fact}
}

func warn(name, fact, fix string) request.Check {
	return request.Check{Name: name, Result: request.Warn, Fact: fact, Fix: fix}
}

func fail(name, fact, fix string) request.Check {
	return request.Check{Name: name, Result: request.Fail, Fact: fact, Fix: fix}
}
