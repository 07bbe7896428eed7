// SPDX-License-Identifier: Apache-2.0

package firewall

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// operators are what stays: rules of an operator, and the policies that Docker set.
var operators = map[string][]string{
	"iptables-nft": {
		"iptables-nft -t filter -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
		"iptables-nft -t filter -A FORWARD -i eth0 -o docker0 -m comment --comment mine -j ACCEPT",
		"iptables-nft -t nat -A POSTROUTING -s 10.1.2.0/24 -j MASQUERADE",
	},
	"ip6tables-nft": {"ip6tables-nft -t filter -P FORWARD DROP"},
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

// What docs/docker.md has operators begin with, where no chain of an engine's is
// left. Chains by the other tool make no difference.
func TestOperatorsRulesForBridges(t *testing.T) {
	all := parse("iptables-nft", "*filter\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n"+
		"-A FORWARD -j DOCKER-USER\n-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"+
		"-A FORWARD -i docker0 -j ACCEPT\n-A FORWARD -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT\nCOMMIT\n")
	engines := parse("iptables-legacy", "*filter\n:FORWARD ACCEPT [0:0]\n:DOCKER - [0:0]\n-A FORWARD -o docker0 -j DOCKER\nCOMMIT\n")
	want := []string{"iptables-legacy -t filter -A FORWARD -o docker0 -j DOCKER", "iptables-legacy -t filter -N DOCKER"}
	if diff := cmp.Diff(want, rest(Leftovers(append(all, engines...)), nil)); diff != "" {
		t.Errorf("leftovers (-want +got):\n%s", diff)
	}
}

// inNamespace runs f in a network namespace of its own.
func inNamespace(t *testing.T, f func(ctx context.Context) error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ns")
	if err := netns.Create(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Delete(path); err != nil {
			t.Error(err)
		}
	})
	if err := netns.Do(path, func() error { return f(context.Background()) }); err != nil {
		t.Fatal(err)
	}
}

func feed(input, tool string, args ...string) error {
	cmd := exec.Command(tool, args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", tool, err, out)
	}
	return nil
}

// flushed is what Read finds after what it found before was flushed.
func flushed(ctx context.Context) ([]Rule, error) {
	all, err := Read(ctx)
	if err != nil {
		return nil, err
	}
	if err := Flush(ctx, Leftovers(all)); err != nil {
		return nil, err
	}
	return Read(ctx)
}

// The kernel takes what is written, and what is left is what should be, in both
// variants of iptables.
func TestFlush(t *testing.T) {
	for _, variant := range []string{"nft", "legacy"} {
		t.Run(variant, func(t *testing.T) {
			inNamespace(t, func(ctx context.Context) error {
				var want []string
				for _, tool := range []string{"iptables-nft", "ip6tables-nft"} {
					really := strings.Replace(tool, "nft", variant, 1)
					if err := feed(read(t, tool), really+"-restore"); err != nil {
						return err
					}
					for _, r := range operators[tool] {
						want = append(want, strings.Replace(r, tool, really, 1))
					}
				}
				left, err := flushed(ctx)
				got := rest(left, nil)
				slices.Sort(want)
				slices.Sort(got)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("what is left (-want +got):\n%s", diff)
				}
				return err
			})
		})
	}
}

// What an engine 29 makes has rules in a table without chains of its own.
const newer = `*raw
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP
COMMIT
*filter
:FORWARD ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-FORWARD -i docker0 -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
`

// One that was killed after any of its transactions is finished by the next.
func TestInterruptedFlush(t *testing.T) {
	for _, tool := range []string{"iptables-nft", "iptables-legacy"} {
		for done := range 3 {
			inNamespace(t, func(ctx context.Context) error {
				if err := feed(newer, tool+"-restore"); err != nil {
					return err
				}
				all, err := Read(ctx)
				if err != nil {
					return err
				}
				tables := strings.SplitAfter(scripts(Leftovers(all))[tool], "COMMIT\n")
				if err := feed(strings.Join(tables[:done], ""), tool+"-restore", "--noflush"); err != nil {
					return err
				}
				left, err := flushed(ctx)
				if err == nil && len(left) > 0 {
					t.Errorf("%s, killed after %d tables: %v are left", tool, done, left)
				}
				return err
			})
		}
	}
}

// The tables of an engine with the nftables backend go, those of others stay, with
// chains of the same names.
func TestFlushOfDockersTables(t *testing.T) {
	const table = `table %s {
	map filter-forward-in-jumps {
		type ifname : verdict
		elements = { "docker0" : jump filter-forward-in__docker0 }
	}
	chain filter-FORWARD {
		type filter hook forward priority filter; policy accept;
		iifname vmap @filter-forward-in-jumps
	}
	chain filter-forward-in__docker0 {
		ct state established,related counter accept
		counter drop comment "UNPUBLISHED PORT DROP"
	}
}
`
	inNamespace(t, func(ctx context.Context) error {
		var script strings.Builder
		for _, name := range []string{"ip docker-bridges", "ip6 docker-bridges", "ip docker-bridges-mine", "inet docker-bridges"} {
			fmt.Fprintf(&script, table, name)
		}
		if err := feed(script.String(), "nft", "-f", "-"); err != nil {
			return err
		}
		all, err := Read(ctx)
		want := []string{"nft table ip docker-bridges", "nft table ip6 docker-bridges"}
		if diff := cmp.Diff(want, rest(Leftovers(all), nil)); err != nil || diff != "" {
			t.Errorf("found: %v (-want +got):\n%s", err, diff)
		}
		left, err := flushed(ctx)
		if err != nil || len(left) != 0 {
			t.Errorf("left %v, %v", left, err)
		}
		out, err := runNFT(ctx, "", "list", "tables")
		if got := strings.Fields(strings.ReplaceAll(out, "table ", "")); !cmp.Equal(got, []string{"ip", "docker-bridges-mine", "inet", "docker-bridges"}) {
			t.Errorf("tables %q", got)
		}
		return err
	})
}

// Docker's policy is told of and stays.
func TestPolicies(t *testing.T) {
	inNamespace(t, func(ctx context.Context) error {
		for _, tool := range []string{"iptables-legacy", "ip6tables-nft"} {
			if err := feed("", tool, "-P", "FORWARD", "DROP"); err != nil {
				return err
			}
		}
		left, err := flushed(ctx)
		want := []string{"iptables-legacy -t filter -P FORWARD DROP", "ip6tables-nft -t filter -P FORWARD DROP"}
		if diff := cmp.Diff(want, rest(Policies(left, "FORWARD"), nil)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return err
	})
}
