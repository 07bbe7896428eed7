// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/netns"
)

// What is in testdata an engine 20.10.24 had made, beside three rules that an
// operator added.
var recorded = map[string]string{"iptables-nft": "20.10-ipv4.save", "ip6tables-nft": "20.10-ipv6.save"}

func read(t *testing.T, tool string) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + recorded[tool])
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// rest is what stays of a rule set, without what is always there.
func rest(all, gone []Rule) (out []string) {
	is := make(map[Rule]bool)
	for _, r := range gone {
		is[r] = true
	}
	for _, r := range all {
		if !is[r] {
			out = append(out, r.String())
		}
	}
	return out
}

var operators = map[string][]string{
	"iptables-nft": {
		"iptables-nft -t filter -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
		"iptables-nft -t filter -A FORWARD -i eth0 -o docker0 -m comment --comment mine -j ACCEPT",
		"iptables-nft -t nat -A POSTROUTING -s 10.1.2.0/24 -j MASQUERADE",
	},
	"ip6tables-nft": nil,
}

func TestLeftovers(t *testing.T) {
	for tool := range recorded {
		all := parse(tool, read(t, tool))
		if diff := cmp.Diff(operators[tool], rest(all, Leftovers(all))); diff != "" {
			t.Errorf("%s: what stays (-want +got):\n%s", tool, diff)
		}
	}
}

func TestOperatorsChainStays(t *testing.T) {
	all := parse("iptables-nft", "*filter\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n:DOCKER - [0:0]\n"+
		"-A FORWARD -j DOCKER-USER\n-A FORWARD -o docker0 -j DOCKER\n-A DOCKER-USER -s 192.0.2.1/32 -j DROP\n-A DOCKER-USER -j RETURN\nCOMMIT\n")
	want := []string{
		"iptables-nft -t filter -N DOCKER-USER", "iptables-nft -t filter -A FORWARD -j DOCKER-USER",
		"iptables-nft -t filter -A DOCKER-USER -s 192.0.2.1/32 -j DROP", "iptables-nft -t filter -A DOCKER-USER -j RETURN",
	}
	if diff := cmp.Diff(want, rest(all, Leftovers(all))); diff != "" {
		t.Errorf("what stays (-want +got):\n%s", diff)
	}
	if user := UserRules(all); len(user) != 1 || user[0].Spec != "-s 192.0.2.1/32 -j DROP" {
		t.Errorf("operator's rules: %v", user)
	}
}

// The kernel takes what is written, and what is left is what should be.
func TestFlush(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ns")
	if err := netns.Create(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Delete(path); err != nil {
			t.Error(err)
		}
	})
	err := netns.Do(path, func() error {
		for tool := range recorded {
			cmd := exec.Command(tool + "-restore")
			cmd.Stdin = strings.NewReader(read(t, tool))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", tool, err, out)
			}
		}
		all, err := Read(context.Background())
		if err != nil {
			return err
		}
		if err := Flush(context.Background(), Leftovers(all)); err != nil {
			return err
		}
		left, err := Read(context.Background())
		if err != nil {
			return err
		}
		if diff := cmp.Diff(operators["iptables-nft"], rest(left, nil)); diff != "" {
			t.Errorf("what is left (-want +got):\n%s", diff)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
