// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/request"
)

func privileges(f *facts) []request.Check {
	if len(f.missingCaps) == 0 {
		return []request.Check{ok("privileges", "CAP_NET_ADMIN, CAP_BPF and CAP_SYS_ADMIN")}
	}
	return []request.Check{fail("privileges", "this process has no "+strings.Join(f.missingCaps, ", "), "sudo fairway doctor")}
}

// unseen stands for all checks of what only root sees.
func unseen(*facts) []request.Check {
	return []request.Check{warn("host", "not checked without root: the kernel's features, devices, the firewall, settings and what a daemon left", "sudo fairway doctor")}
}

// oldestKernel has what the eBPF mode can't do without.
const oldestKernel = "6.1"

// kernel judges what was tried, not the version: distributions backport.
func kernel(f *facts) []request.Check {
	if f.mode != datapath.EBPF {
		return []request.Check{ok("kernel", f.release)}
	}
	checks := []request.Check{kernelVersion(f)}
	for _, r := range f.features {
		checks = append(checks, feature(f, r))
	}
	return checks
}

// kernelVersion warns of PREEMPT_RT, where what sends and receives on one CPU may
// preempt each other: the programs keep what they know of a packet in memory of the
// CPU's, which is sound only where they don't.
func kernelVersion(f *facts) request.Check {
	if f.realtime {
		return warn("kernel", f.release+" is a PREEMPT_RT kernel: packets on one CPU may interleave there, and the programs may mix them up",
			"run a kernel without PREEMPT_RT, or: fairway daemon --datapath iptables")
	}
	return ok("kernel", f.release+", made for "+oldestKernel+" and later")
}

func feature(f *facts, r loader.Result) request.Check {
	name := "feature " + r.Name
	switch {
	case r.Available():
		return ok(name, "available: "+r.With)
	case !errors.Is(r.Err, ebpf.ErrNotSupported) && len(f.missingCaps) > 0:
		return warn(name, "not known without privileges", "sudo fairway doctor")
	case r.Required:
		return fail(name, r.Err.Error(), "run a kernel >= "+r.Since+", or: fairway daemon --datapath iptables")
	}
	return ok(name, fmt.Sprintf("not available before %s: %s", r.Since, r.Without))
}

func mounts(f *facts) []request.Check {
	var checks []request.Check
	if f.privateMnt {
		checks = append(checks, warn("mount namespace", "not PID 1's (ip netns exec makes one): the daemon moves to that of PID 1",
			"nsenter --net=/run/netns/NAME fairway daemon"))
	}
	if f.mode == datapath.EBPF {
		checks = append(checks, bpffs(f))
	}
	if f.cgroup2 == "" {
		return append(checks, warn("cgroup2", "not mounted here: the daemon mounts one of its own",
			"mount -t cgroup2 none /sys/fs/cgroup/unified"))
	}
	return append(checks, ok("cgroup2", "mounted at "+f.cgroup2))
}

func bpffs(f *facts) request.Check {
	if f.bpffsMounted {
		return ok("bpffs", f.bpffs+" is on a mounted one")
	}
	return warn("bpffs", f.bpffs+" is on none: the daemon mounts one", "mount -t bpf bpf /sys/fs/bpf")
}

// bytesPerFlowEntry is a preallocated entry of the IPv4 and one of the IPv6 table.
const bytesPerFlowEntry = 130 + 190

func memory(f *facts) []request.Check {
	if f.mode != datapath.EBPF {
		return nil
	}
	need := f.flowEntries * bytesPerFlowEntry >> 20
	fact := fmt.Sprintf("flow tables for %d connections of each family take %d MiB; %d MiB are available", f.flowEntries/2, need, f.memAvailable>>20)
	if f.daemon.err != nil && f.memAvailable>>20 < 2*need {
		return []request.Check{warn("memory", fact, fmt.Sprintf("fairway daemon --flow-table-size %d", loader.MinFlowEntries))}
	}
	return []request.Check{ok("memory", fact)}
}

// wantedFiles is a socket for each of 10,000 published ports and family, and as
// many again.
const wantedFiles = 40_000

func files(f *facts) []request.Check {
	fact := fmt.Sprintf("fs.nr_open is %d", f.nrOpen)
	if f.nrOpen < wantedFiles {
		return []request.Check{warn("open files", fact+": each published port takes one or two", "sysctl -w fs.nr_open=1048576")}
	}
	return []request.Check{ok("open files", fact)}
}
