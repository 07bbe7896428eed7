// SPDX-License-Identifier: Apache-2.0

package progrun

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/test/cell"
	"github.com/fairway-project/fairway/test/progrun/rig"
)

// ownCgroup moves the test's process into a cgroup of its own, which the end of
// the test removes, and returns the cgroup's path.
func ownCgroup(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	check(t, unix.Mount("cgroup2", root, "cgroup2", 0, ""))
	t.Cleanup(func() { check(t, unix.Unmount(root, 0)) })
	home := filepath.Join(root, homeCgroup(t))
	own := filepath.Join(root, cell.Named("progrun"))
	check(t, os.Mkdir(own, 0o755))
	t.Cleanup(func() { check(t, os.Remove(own)) })
	check(t, enterCgroup(own))
	t.Cleanup(func() { check(t, enterCgroup(home)) })
	return own
}

func enterCgroup(path string) error {
	return os.WriteFile(filepath.Join(path, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0o644)
}

// homeCgroup is the process's place in the cgroup v2 hierarchy (cgroups(7)).
func homeCgroup(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	check(t, err)
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSpace(path)
		}
	}
	t.Fatal("process is in no cgroup v2")
	return ""
}

// attachSockets attaches the programs of sockets to the cgroup for the test.
func attachSockets(t *testing.T, h *rig.Host, cgroup string) {
	t.Helper()
	for at, prog := range map[ebpf.AttachType]*ebpf.Program{
		ebpf.AttachCGroupInet4Connect:     h.Connect4,
		ebpf.AttachCGroupInet6Connect:     h.Connect6,
		ebpf.AttachCGroupUDP4Sendmsg:      h.Sendmsg4,
		ebpf.AttachCGroupUDP6Sendmsg:      h.Sendmsg6,
		ebpf.AttachCGroupUDP4Recvmsg:      h.Recvmsg4,
		ebpf.AttachCGroupUDP6Recvmsg:      h.Recvmsg6,
		ebpf.AttachCgroupInet4GetPeername: h.Getpeername4,
		ebpf.AttachCgroupInet6GetPeername: h.Getpeername6,
	} {
		l, err := link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: at, Program: prog})
		check(t, err)
		t.Cleanup(func() { check(t, l.Close()) })
	}
}
