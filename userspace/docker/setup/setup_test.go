// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/firewall"
	"github.com/fairway-project/fairway/userspace/request"
)

var (
	dockerChain = firewall.Rule{Tool: "iptables-nft", Table: "filter", Chain: "DOCKER", Declared: true}
	dockerRule  = firewall.Rule{Tool: "iptables-nft", Table: "filter", Chain: "FORWARD", Spec: "-o docker0 -j DOCKER"}
	// operatorsRule is like one of an engine's, of which nothing else is there.
	operatorsRule = firewall.Rule{Tool: "iptables-nft", Table: "filter", Chain: "FORWARD", Spec: "-i docker0 -j ACCEPT"}

	dockerTable  = firewall.Rule{Tool: "nft", Table: "ip docker-bridges", Declared: true}
	dockerPolicy = firewall.Rule{Tool: "iptables-nft", Table: "filter", Chain: "FORWARD", Policy: "DROP"}
)

func keys(pairs ...string) file {
	f := file{}
	for i := 0; i < len(pairs); i += 2 {
		f[pairs[i]] = []byte(pairs[i+1])
	}
	return f
}

func TestArguments(t *testing.T) {
	got := parseEngine([]string{"/usr/sbin/dockerd", "-H", "fd://", "--iptables=false", "--icc", "--userland-proxy-path", "/p",
		"--config-file=/c.json", "--containerd=/run/c", "--default-address-pool", "a", "--default-address-pool=b"})
	want := Engine{Config: "/c.json", Flags: map[string]string{
		"iptables": "false", "icc": "true", "userland-proxy-path": "/p", "default-address-pool": "a b",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlan(t *testing.T) {
	o := Options{Proxy: "/lib/docker-proxy", Config: "/d.json"}
	for name, c := range map[string]struct {
		engine Engine
		file   file
		rules  []firewall.Rule
		lines  []string
		notes  []string
		err    string
	}{
		"fresh, not running": {file: file{}, rules: []firewall.Rule{dockerChain, dockerRule}, lines: []string{
			`/d.json: add "ip6tables": false`, `/d.json: add "iptables": false`, `/d.json: add "userland-proxy-path": "/lib/docker-proxy"`,
			"remove rule: iptables-nft -t filter -A FORWARD -o docker0 -j DOCKER", "remove chain: iptables-nft -t filter -N DOCKER",
		}},
		"running with rules": {engine: Engine{Pid: 7}, file: keys("iptables", "true", "ip6tables", "false", "userland-proxy-path", `"/lib/docker-proxy"`),
			rules: []firewall.Rule{dockerChain, dockerRule}, lines: []string{`/d.json: change "iptables" from true to false`},
			notes: []string{"carry traffic now", "restart dockerd"}},
		"restarted": {engine: Engine{Pid: 7}, file: keys("iptables", "false", "ip6tables", "false", "userland-proxy-path", `"/lib/docker-proxy"`),
			rules: []firewall.Rule{dockerChain, dockerRule}, lines: []string{"remove rule: iptables-nft -t filter -A FORWARD -o docker0 -j DOCKER", "remove chain: iptables-nft -t filter -N DOCKER"}},
		"an operator's rules": {engine: Engine{Pid: 7}, file: keys("iptables", "false", "ip6tables", "false", "userland-proxy-path", `"/lib/docker-proxy"`),
			rules: []firewall.Rule{operatorsRule}},
		"nftables backend": {engine: Engine{Pid: 7}, file: keys("iptables", "false", "ip6tables", "false", "userland-proxy-path", `"/lib/docker-proxy"`),
			rules: []firewall.Rule{dockerTable, dockerPolicy}, lines: []string{"remove table: nft table ip docker-bridges"},
			notes: []string{"policy of FORWARD is DROP (iptables-nft)"}},
		"flags that fit": {engine: Engine{Pid: 7, Flags: map[string]string{"iptables": "false", "ip6tables": "false", "userland-proxy-path": "/lib/docker-proxy"}},
			file: file{}},
		"flag that doesn't fit": {engine: Engine{Pid: 7, Flags: map[string]string{"iptables": "true"}}, err: "--iptables=true"},
		"icc":                   {file: keys("icc", "false"), err: "icc=false"},
		"proxy off": {file: keys("iptables", "false", "ip6tables", "false", "userland-proxy", "false", "userland-proxy-path", `"/lib/docker-proxy"`),
			notes: []string{"userland-proxy is false"}},
	} {
		p, err := plan(o, c.engine, c.file, c.rules)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: got %v, want an error with %s", name, err, c.err)
			}
			continue
		}
		if diff := cmp.Diff(c.lines, p.Lines()); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		if len(p.Notes) != len(c.notes) {
			t.Errorf("%s: notes %q, want %q", name, p.Notes, c.notes)
			continue
		}
		for i, n := range c.notes {
			if !strings.Contains(p.Notes[i], n) {
				t.Errorf("%s: note %q, want %q in it", name, p.Notes[i], n)
			}
		}
	}
}

func TestNoForwarding(t *testing.T) {
	o := Options{Proxy: "/lib/docker-proxy", Config: "/d.json", NoForwarding: true}
	f := keys("iptables", "false", "ip6tables", "false", "userland-proxy-path", `"/lib/docker-proxy"`)
	p, err := plan(o, Engine{}, f, nil)
	if want := []string{`/d.json: add "ip-forward": false`}; err != nil || !cmp.Equal(p.Lines(), want) {
		t.Errorf("got %q, %v, want %q", p.Lines(), err, want)
	}
}

func TestApplyAndUndo(t *testing.T) {
	root.Need(t)
	for name, before := range map[string]string{"there was one": "{\n  \"log-level\": \"warn\",\n  \"iptables\": true\n}", "there was none": ""} {
		dir := t.TempDir()
		o := Options{Proxy: "/lib/docker-proxy", Config: filepath.Join(dir, "docker/daemon.json")}
		keeper := AtRest{filepath.Join(dir, "root")}
		if before != "" {
			if err := replace(o.Config, []byte(before)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 { // the second changes nothing, and doesn't save what the first wrote
			f, err := readFile(o.Config)
			if err != nil {
				t.Fatal(err)
			}
			p, err := plan(o, Engine{}, f, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Apply(t.Context(), keeper); err != nil {
				t.Fatal(err)
			}
		}
		f, err := readFile(o.Config)
		if err != nil || f.text("iptables") != "false" || f.text("userland-proxy-path") != "/lib/docker-proxy" || (before != "" && f.text("log-level") != "warn") {
			t.Errorf("%s: %v, %v", name, f, err)
		}
		if _, err := Undo(t.Context(), o, keeper); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(o.Config)
		if string(got) != before || (before == "") != os.IsNotExist(err) {
			t.Errorf("%s: after undo %q, %v", name, got, err)
		}
		if done, err := Undo(t.Context(), o, keeper); err != nil || !strings.Contains(done[0], "nothing to undo") {
			t.Errorf("%s: second undo %q, %v", name, done, err)
		}
	}
}

func TestEveryWrongCombinationIsNamed(t *testing.T) {
	good := func() file {
		return keys("iptables", "false", "ip6tables", "false", "userland-proxy-path", `"/lib/docker-proxy"`)
	}
	running := Engine{Pid: 7}
	without := func(key string) file { f := good(); delete(f, key); return f }
	with := func(key, value string) file { f := good(); f[key] = []byte(value); return f }
	user := firewall.Rule{Tool: "iptables-nft", Table: "filter", Chain: "DOCKER-USER", Spec: "-s 10.0.0.1/32 -j DROP"}
	for name, c := range map[string]struct {
		engine Engine
		file   file
		rules  []firewall.Rule
		check  string
		result request.Result

		netfilter datapath.Netfilter
	}{
		"rules that the daemon heeds": {engine: running, file: good(), rules: []firewall.Rule{user, dockerPolicy}, netfilter: datapath.NetfilterFirstPacket},
		"all is well":                 {engine: running, file: good()},
		"no engine":                   {engine: Engine{}, file: good(), check: "docker engine", result: request.Warn},
		"not restarted":               {engine: Engine{Pid: 7, Stale: true}, file: good(), check: "docker engine", result: request.Warn},
		"iptables on":                 {engine: running, file: without("iptables"), check: "docker iptables", result: request.Fail},
		"ip6tables on":                {engine: running, file: without("ip6tables"), check: "docker iptables", result: request.Warn},
		"Docker's own proxy":          {engine: running, file: without("userland-proxy-path"), check: "docker proxy", result: request.Warn},
		"other name":                  {engine: running, file: with("userland-proxy-path", `"/lib/shim"`), check: "docker proxy", result: request.Warn},
		"no proxy":                    {engine: running, file: with("userland-proxy", "false"), check: "docker proxy", result: request.Warn},
		"icc off":                     {engine: running, file: with("icc", "false"), check: "docker icc", result: request.Fail},
		"flag and key":                {engine: Engine{Pid: 7, Flags: map[string]string{"iptables": "false"}}, file: good(), check: "docker flags", result: request.Fail},
		"operator's rules":            {engine: running, file: good(), rules: []firewall.Rule{user}, check: "docker user rules", result: request.Warn},
		"leftovers":                   {engine: running, file: good(), rules: []firewall.Rule{dockerChain, dockerRule}, check: "docker leftovers", result: request.Fail},
		"rules for docker0":           {engine: running, file: good(), rules: []firewall.Rule{operatorsRule}},
		"nftables leftovers":          {engine: running, file: good(), rules: []firewall.Rule{dockerTable}, check: "docker leftovers", result: request.Fail},
		"Docker's policy":             {engine: running, file: good(), rules: []firewall.Rule{dockerPolicy}},
	} {
		for _, got := range judge(Options{Config: "/d.json", Netfilter: c.netfilter}, c.engine, c.file, c.rules) {
			want := request.OK
			if got.Name == c.check {
				want = c.result
			}
			if got.Result != want || (want != request.OK) != (got.Fix != "") {
				t.Errorf("%s: %+v, want %s", name, got, want)
			}
		}
	}
}

func TestStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !changedSince(path, "/proc/self") {
		t.Error("a file that was just written isn't newer than this process")
	}
	begun, err := startOf("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	older := begun.Add(-time.Minute)
	if err := os.Chtimes(path, older, older); err != nil {
		t.Fatal(err)
	}
	if changedSince(path, "/proc/self") || changedSince(path+"x", "/proc/self") {
		t.Error("an older file, or none, is newer than this process")
	}
}
