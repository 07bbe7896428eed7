// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/datapath"
)

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fairway.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func env(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestEnvironmentWinsOverFile(t *testing.T) {
	path := write(t, "datapath: iptables\nroot: /from/file\nuplinks: [eth0, eth1]\ntimeouts:\n  udp: 45s\nflow_table_size: 4096\n")
	got, err := Load(path, env(map[string]string{"FAIRWAY_ROOT": "/from/env", "FAIRWAY_DEBUG": "1"}))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Datapath, want.Root, want.Debug = datapath.IPTables, "/from/env", true
	want.Uplinks, want.FlowTableSize, want.Timeouts.UDP = []string{"eth0", "eth1"}, 4096, 45*time.Second
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEmptyFileIsDefaults(t *testing.T) {
	got, err := Load(write(t, "# nothing\n"), env(nil))
	if diff := cmp.Diff(Default(), got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestBadConfigIsNamed(t *testing.T) {
	for _, c := range []struct {
		file string
		env  map[string]string
		want string
	}{
		{"root: /x\nrooot: /y\n", nil, "line 2: rooot is not a known key, want bpffs, datapath, debug, docker, docker_plugin, "},
		{"uplinks: eth0\n", nil, "line 1"},
		{"root: /x\n---\nroot: /y\n", nil, "more than one YAML document"},
		{"timeouts:\n  udp: soon\n", nil, "line 2"},
		{"timeouts:\n  tpc: 1s\n", nil, "line 2: tpc is not a known key, want generic, icmp, icmpv6, sctp, tcp_close, "},
		{"timeouts:\n  udp: 1ms\n", nil, "timeout udp 1ms"},
		{"datapath: nft\n", nil, `datapath "nft"`},
		{"root: ''\n", nil, "root: is empty"},
		{"uplinks: [a-name-of-sixteen]\n", nil, "a-name-of-sixteen"},
		{"netfilter: sideways\n", nil, `netfilter "sideways": want bypass, first-packet or nothing`},
		{"netfilter: first-packet\ndatapath: iptables\n", nil, "netfilter first-packet: not with datapath iptables"},
		{"", map[string]string{"FAIRWAY_DEBUG": "loud"}, "FAIRWAY_DEBUG=loud"},
	} {
		got, err := Load(write(t, c.file), env(c.env))
		if err == nil {
			err = got.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: got %v, want one line with %q", c.file, err, c.want)
		}
	}
}
