// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/docker/firewall"
	"github.com/fairway-project/fairway/userspace/request"
)

// What an operator changed after the setup survives its end.
func TestUndoKeepsLaterChanges(t *testing.T) {
	root.Need(t)
	for name, c := range map[string]struct{ before, later, after, done string }{
		"a key was added":              {`{"iptables": true}`, `{"debug": true, "iptables": false, "ip-forward": false}`, `{"debug":true,"iptables":true}`, "changed since then"},
		"a key was added to ours":      {"", `{"debug": true, "iptables": false, "userland-proxy-path": "/p"}`, `{"debug":true}`, "changed since then"},
		"the file was only formatted":  {`{"debug": [1, 2]}`, `{"debug":[1,2],"iptables":false}`, `{"debug": [1, 2]}`, "as it was before"},
		"the file was removed already": {"", "", "", "removed"},
	} {
		dir := t.TempDir()
		o := Options{Config: filepath.Join(dir, "daemon.json")}
		// By an earlier version.
		if err := os.WriteFile(filepath.Join(dir, formerName), []byte(c.before), 0o600); err != nil {
			t.Fatal(err)
		}
		if c.later != "" {
			if err := os.WriteFile(o.Config, []byte(c.later), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		done, err := Undo(t.Context(), o, AtRest{dir})
		if err != nil || !strings.Contains(done[0], c.done) {
			t.Errorf("%s: %q, %v", name, done, err)
		}
		raw, err := os.ReadFile(o.Config)
		if (c.after == "") != os.IsNotExist(err) || c.after != "" && strings.Join(strings.Fields(string(raw)), "") != strings.Join(strings.Fields(c.after), "") {
			t.Errorf("%s: %q, %v, want %s", name, raw, err, c.after)
		}
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if want := len(raw); err != nil || len(left) != min(want, 1) {
			t.Errorf("%s: left %q, %v", name, left, err)
		}
	}
}

// Each thing that is left is named, table by table.
func TestLeftoversAreNamed(t *testing.T) {
	other := dockerRule
	other.Chain, other.Spec = "POSTROUTING", "-o docker0 -j MASQUERADE"
	other.Table = "nat"
	f := keys("iptables", "false", "ip6tables", "false")
	var got []string
	for _, c := range leftoverChecks(Engine{Pid: 7}, f, []firewall.Rule{dockerTable, dockerChain, dockerRule, other, dockerPolicy}) {
		if c.Result != request.Fail || c.Fix != "fairway docker setup" {
			t.Errorf("%+v", c)
		}
		got = append(got, c.Fact)
	}
	want := []string{
		"iptables-nft, table filter: 2 are left: " + dockerRule.String() + "; " + dockerChain.String(),
		"iptables-nft, table nat: 1 are left: " + other.String(),
		"nft, table ip docker-bridges: 1 are left: nft table ip docker-bridges",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
