// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/loader/cgroupfs"
	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/capability"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/link"
)

// gather reads all facts. Those that can't be read stay empty, unless nothing
// could be said without them.
func gather(ctx context.Context, o Options) (*facts, error) {
	f := &facts{mode: o.Mode, firstPacket: o.Netfilter == datapath.NetfilterFirstPacket, bpffs: o.BPFFS}
	if err := f.gatherProcess(); err != nil {
		return nil, err
	}
	f.flowEntries = uint64(cmp.Or(o.FlowTableSize, loader.DefaultFlowEntries(f.memTotal)))
	if o.Mode == datapath.EBPF {
		f.features = loader.Probe()
		f.gatherPins()
	}
	err := f.gatherHost(o)
	if errors.Is(err, fs.ErrPermission) {
		f.blind = true
		f.gatherSysctls()
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	f.gatherSysctls()
	f.rules = readRuleset(ctx)
	f.socket = readSocket(filepath.Join(o.RunDir, api.SocketName))
	f.daemon = askDaemon(ctx, f.socket.path)
	return f, nil
}

// gatherProcess reads what concerns the process, the kernel and the machine.
func (f *facts) gatherProcess() error {
	var err error
	if f.missingCaps, err = capability.Missing(); err != nil {
		return err
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("kernel release: %w", err)
	}
	f.release = unix.ByteSliceToString(u.Release[:])
	flag, _ := os.ReadFile("/sys/kernel/realtime") // only PREEMPT_RT has it
	f.realtime = realtime(string(flag), unix.ByteSliceToString(u.Version[:]))
	cgroup2, err := cgroupfs.Find()
	if err != nil && !errors.Is(err, cgroupfs.ErrNone) {
		return err
	}
	f.cgroup2 = cgroup2
	own, ownErr := os.Readlink("/proc/thread-self/ns/mnt")
	first, firstErr := os.Readlink("/proc/1/ns/mnt")
	f.privateMnt = ownErr == nil && firstErr == nil && own != first
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	f.memTotal, f.memAvailable = meminfoBytes(string(meminfo), "MemTotal"), meminfoBytes(string(meminfo), "MemAvailable")
	return nil
}

// realtime reports whether a kernel has PREEMPT_RT, by /sys/kernel/realtime or by
// its version, as in "#1 SMP PREEMPT_RT Debian 6.12.9-1".
func realtime(flag, version string) bool {
	return strings.TrimSpace(flag) == "1" || slices.Contains(strings.Fields(version), "PREEMPT_RT")
}

// meminfoBytes reads a line like "MemTotal:  1024 kB" (proc_meminfo(5)).
func meminfoBytes(meminfo, key string) uint64 {
	for line := range strings.Lines(meminfo) {
		if rest, is := strings.CutPrefix(line, key+":"); is {
			kib, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// gatherPins looks at the directory of pins, or at where it would be made.
func (f *facts) gatherPins() {
	for dir := f.bpffs; ; dir = filepath.Dir(dir) {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err == nil {
			f.bpffsMounted = st.Type == unix.BPF_FS_MAGIC
			break
		}
		if dir == "/" || dir == "." {
			break
		}
	}
	if others, err := loader.OtherTables(f.bpffs); err == nil {
		f.otherTables = others
	}
}

func (f *facts) gatherHost(o Options) error {
	h, err := link.OpenHost()
	if err != nil {
		return err
	}
	defer h.Close()
	if f.host, err = h.Observe(link.Scope{Uplinks: o.Uplinks}); err != nil {
		return err
	}
	f.uplinks = o.Uplinks
	all, err := h.Observe(link.Scope{})
	if err != nil {
		return err
	}
	for _, u := range all.Uplinks {
		f.mayLead = append(f.mayLead, u.Name)
	}
	f.devices, err = readDevices(f.host)
	return err
}

// gatherSysctls reads below /proc/sys, where net is the calling thread's namespace.
func (f *facts) gatherSysctls() {
	names := []string{
		"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv4/conf/all/rp_filter", "net/bridge/bridge-nf-call-iptables",
		"net/ipv4/ip_local_port_range", "net/ipv4/ip_local_reserved_ports",
		"net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max", "fs/nr_open",
	}
	for _, u := range f.host.Uplinks {
		names = append(names, "net/ipv4/conf/"+u.Name+"/rp_filter")
	}
	f.sysctls = make(map[string]string)
	for _, name := range names {
		if text, err := os.ReadFile("/proc/sys/" + name); err == nil {
			f.sysctls[name] = strings.TrimSpace(string(text))
		}
	}
	f.nrOpen, _ = strconv.ParseUint(f.sysctls["fs/nr_open"], 10, 64)
}

func readSocket(path string) socketFacts {
	s := socketFacts{path: path}
	var file, dir unix.Stat_t
	if unix.Stat(path, &file) != nil || unix.Stat(filepath.Dir(path), &dir) != nil {
		return s
	}
	s.exists, s.mode, s.directory = true, file.Mode&0o7777, dir.Mode&0o7777
	return s
}
