// SPDX-License-Identifier: Apache-2.0

//go:build long

package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// firstLayout is the last version whose tables knew no groups, and whose flows had no
// member that tells echoes apart: revision 0.
const firstLayout = "563ee33f778a1f96ae70e9585d811a204e84817a"

// withoutNetworks is the last version whose flows, published ports and links were found by
// addresses without a network: revision 1.
const withoutNetworks = "a01fe5b2a32a807aeafd57bcf6166dd231fa67a8"

// The same from there. What the control plane says is converted as well, so the programs are
// replaced when it has said all.
func TestLongUpgradeBringsNetworks(t *testing.T) {
	older := buildOlder(t, withoutNetworks)
	harness.ForEach(t, func(t *testing.T, e *harness.Env) { upgrade(t, e, older, nil) }, harness.NoDaemon())
}

// withoutNextHops is the last version whose flows had the address of their next hop:
// revision 2.
const withoutNextHops = "1e9f66bf23b8fbd782045a242650a7a1c7d81618"

// The same from there.
func TestLongUpgradeBringsNextHops(t *testing.T) {
	older := buildOlder(t, withoutNextHops)
	harness.ForEach(t, func(t *testing.T, e *harness.Env) { upgrade(t, e, older, nil) }, harness.NoDaemon())
}

// An upgrade from the first layout of flows to this one, with 204 TCP and 54 UDP flows
// through published ports, masquerade and hairpin: none is lost, no datagram neither. Once
// it is left alone, and once the new version is killed on its way again and again.
func TestLongUpgradeKeepsConnections(t *testing.T) {
	older := buildOlder(t, firstLayout)
	for name, kills := range map[string][]time.Duration{
		"left alone": nil,
		"killed": {
			50 * time.Millisecond, 150 * time.Millisecond, 300 * time.Millisecond, 450 * time.Millisecond,
			600 * time.Millisecond, 800 * time.Millisecond, 1000 * time.Millisecond, 1300 * time.Millisecond,
		},
	} {
		t.Run(name, func(t *testing.T) {
			harness.ForEach(t, func(t *testing.T, e *harness.Env) { upgrade(t, e, older, kills) }, harness.NoDaemon())
		})
	}
}

func upgrade(t *testing.T, e *harness.Env, older string, kills []time.Duration) {
	e.Daemon.Binary = older
	e.Daemon.Start(t)
	e.Network(t, "a", numA)
	e.Network(t, "b", numB)
	c1 := e.Sandbox(t, "c1", "--network", "a", "-p", "8080:80", "-p", "8080:80/udp")
	c3 := e.Sandbox(t, "c3", "--network", "b")
	serve(t, c1.Netns, 80, "c1")
	serve(t, e.WAN, 80, "wan")
	walks := func(f harness.Family) map[*harness.Netns]string {
		return map[*harness.Netns]string{
			e.LAN1: at(f.Host, 8080), c1.Netns: at(f.WAN, 80), c3.Netns: at(f.Host, 8080),
		}
	}
	const tcp, udp, rounds = 34, 9, 2 // of each family and way; messages of each
	flows, all := harness.NewFlows(t), 0
	flows.Pace = 250 * time.Millisecond
	for _, f := range []harness.Family{harness.V4(), harness.V6()} {
		for from, dst := range walks(f) {
			for range tcp {
				flows.TCP(t, from, dst)
				all++
			}
			for range udp {
				flows.UDP(t, from, dst)
				all++
			}
		}
	}
	advance := func() { t.Helper(); flows.Advance(t, int64(rounds*all)) }
	advance()
	e.Daemon.Stop(t)
	e.Daemon.Binary = ""
	for _, after := range kills {
		e.Daemon.KillStarting(t, after)
		advance()
	}
	e.Daemon.Start(t)
	said := e.Must(t, "status")
	if e.Mode == harness.EBPF && len(kills) == 0 && !strings.Contains(said, "connections were carried over") {
		t.Errorf("status says nothing of connections that were carried over:\n%s", said)
	}
	if strings.Contains(said, "lost for want of room") || strings.Contains(said, "then broke") {
		t.Errorf("connections were lost:\n%s", said)
	}
	advance()
	for _, f := range []harness.Family{harness.V4(), harness.V6()} {
		for from, dst := range walks(f) {
			for name, probe := range harness.Probes() {
				if _, err := probe(from, dst); err != nil {
					t.Errorf("new %s connection %s → %s: %v", name, from.Name, dst, err)
				}
			}
		}
	}
	flows.Stop(t)
}

// buildOlder builds the daemon of a commit from a copy in a temporary directory.
func buildOlder(t *testing.T, commit string) string {
	t.Helper()
	root, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	top := strings.TrimSpace(string(root))
	if err == nil {
		err = exec.Command("git", "-C", top, "cat-file", "-e", commit+"^{commit}").Run()
	}
	if err != nil {
		t.Skipf("NOT TESTED: the upgrade from %s: the repository's history doesn't have that commit here (a shallow clone, or an archive): %v", commit, err)
	}
	dir := t.TempDir()
	archive := exec.Command("git", "-C", top, "archive", "--output", filepath.Join(dir, "tree.tar"), commit)
	unpack := exec.Command("tar", "-xf", "tree.tar")
	binary := filepath.Join(dir, "fairway-older")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "./cmd/fairway")
	unpack.Dir, build.Dir = dir, dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	for _, cmd := range []*exec.Cmd{archive, unpack, build} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	return binary
}
