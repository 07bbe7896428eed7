// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

func system() []Fact {
	release, version, machine := uname()
	return known(
		Fact{"kernel", release},
		Fact{"kernel build", version},
		Fact{"architecture", machine},
		Fact{"cpu", cpuModel(content("/proc/cpuinfo"))},
		Fact{"cpus", strconv.Itoa(runtime.NumCPU())},
		Fact{"hypervisor", hypervisor()},
		Fact{"memory", memory(content("/proc/meminfo"))},
		Fact{"clock source", content("/sys/devices/system/clocksource/clocksource0/current_clocksource")},
		Fact{"frequency governor", content("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")},
		Fact{"transparent huge pages", content("/sys/kernel/mm/transparent_hugepage/enabled")},
		Fact{"kernel parameters", parameters(content("/proc/cmdline"))},
		Fact{"net.core.bpf_jit_enable", content("/proc/sys/net/core/bpf_jit_enable")},
		Fact{"net.core.bpf_jit_harden", content("/proc/sys/net/core/bpf_jit_harden")},
		Fact{"kernel.bpf_stats_enabled", content("/proc/sys/kernel/bpf_stats_enabled")},
		Fact{"load", content("/proc/loadavg")},
		Fact{"cgroup", cgroup(content("/proc/self/cgroup"))},
	)
}

// cpuModel is the first processor's name.
func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		key, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// hypervisor is what DMI calls the machine, if the CPU says that it is a guest.
func hypervisor() string {
	if !strings.Contains(content("/proc/cpuinfo"), " hypervisor ") {
		return ""
	}
	name := strings.TrimSpace(content("/sys/class/dmi/id/sys_vendor") + " " + content("/sys/class/dmi/id/product_name"))
	if name == "" {
		return "yes"
	}
	return name
}

func memory(meminfo string) string {
	for line := range strings.Lines(meminfo) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kib); n == 1 {
			return fmt.Sprintf("%d MiB", kib/1024)
		}
	}
	return ""
}

// BPFStats reports whether the kernel measures every run of a program, which
// costs each about 20 ns.
func BPFStats() bool {
	text, err := os.ReadFile("/proc/sys/kernel/bpf_stats_enabled")
	return err == nil && strings.TrimSpace(string(text)) != "0"
}

// parameters are those of the kernel's that change what things cost. The others
// are the machine's owner's affair.
func parameters(cmdline string) string {
	wanted := []string{
		"mitigations", "spectre_v2", "spec_store_bypass_disable", "retbleed", "nospectre_v1", "nospectre_v2", "nopti", "pti", "nosmt",
		"isolcpus", "nohz", "nohz_full", "rcu_nocbs", "preempt", "idle", "intel_idle.max_cstate", "processor.max_cstate",
		"intel_pstate", "amd_pstate", "transparent_hugepage", "psi", "threadirqs", "clocksource", "tsc", "maxcpus",
	}
	var kept []string
	for _, word := range strings.Fields(cmdline) {
		name, _, _ := strings.Cut(word, "=")
		if slices.Contains(wanted, name) {
			kept = append(kept, word)
		}
	}
	return strings.Join(kept, " ")
}

// cgroup says which hierarchies there are: a line with an empty list of
// controllers is of version 2 (cgroups(7)).
func cgroup(self string) string {
	versions := map[string]bool{}
	for line := range strings.Lines(self) {
		if strings.HasPrefix(line, "0::") {
			versions["v2"] = true
		} else {
			versions["v1"] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(versions)), " and ")
}
