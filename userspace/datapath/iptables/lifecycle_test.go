// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/test/partial"
	"github.com/fairway-project/fairway/test/root"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
)

// foreignRules are an administrator's, among them look-alikes of the package's own.
func foreignRules(w *world) {
	w.iptables("-A FORWARD -s 203.0.113.7/32 -j ACCEPT")
	w.iptables("-I FORWARD -i wg0 -j ACCEPT")
	w.iptables("-t nat -A POSTROUTING -s 172.30.0.0/16 ! -o br-other -j MASQUERADE")
	w.iptables("-t nat -A POSTROUTING -s 172.30.0.2/32 -d 172.30.0.2/32 -p tcp -m tcp --dport 80 -j MASQUERADE")
	w.iptables("-t raw -A PREROUTING -d 172.30.0.2/32 ! -i br-other -j DROP")
	w.iptables("-N ADMIN")
	w.iptables("-A ADMIN -j RETURN")
}

// fill makes three networks, two endpoints, some ports and a service.
func fill(w *world) datapath.Desired {
	n1 := w.network(1)
	n2 := w.network(2, func(n *datapath.Network) { n.ICC = false; n.IPv6 = nil })
	n3 := w.network(3, func(n *datapath.Network) { n.Internal = true })
	c1, c2 := w.container(n1, 2), w.container(n2, 2)
	w.publish(c1, publish(c1, 8080, 80, model.TCP), publish(c1, 8081, 80, model.TCP), publish(c1, 5353, 53, model.UDP))
	w.publish(c2, publish(c2, 9090, 90, model.TCP, "127.0.0.1"), publish(c2, 9091, 90, model.TCP))
	s := w.service([]datapath.Network{n1}, c1, c2)
	s.Affinity = dayOfAffinity
	w.ensure(s)
	return datapath.Desired{
		Networks:  []datapath.Network{n1, n2, n3},
		Endpoints: []datapath.Endpoint{c1.Endpoint, c2.Endpoint},
		Ports:     map[string][]datapath.Port{c1.ID: w.d.state.ports[c1.ID], c2.ID: w.d.state.ports[c2.ID]},
		Services:  []datapath.Service{s},
	}
}

func TestUninstallLeavesTheBaseline(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		must(t, w.d.Uninstall(t.Context()))
		fresh := w.saveTables()
		foreignRules(w)
		base, settings := w.saveTables(), w.settings()
		if w.variant == "nft" && strings.Contains(fresh, "*") {
			t.Errorf("tables left in a fresh namespace:\n%s", fresh)
		}
		fill(w)
		if w.saveTables() == base {
			t.Fatal("nothing was installed")
		}
		must(t, w.d.Uninstall(t.Context()))
		// iptables-nft tables that appeared meanwhile (raw of IPv6) are gone too.
		if diff := cmp.Diff(base, w.saveTables()); diff != "" {
			t.Errorf("tables after Uninstall (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(settings, w.settings()); diff != "" {
			t.Errorf("settings after Uninstall (-before +after):\n%s", diff)
		}
	})
}

// settings are the values that the package may change.
func (w *world) settings() map[string]string {
	out := make(map[string]string)
	w.in(w.host, func() error {
		for _, name := range append(append(forwardingSettings[IPv4], forwardingSettings[IPv6]...), bridgeFilterSetting[:]...) {
			value, err := readSetting(name)
			if err != nil {
				return err
			}
			out[name] = value
		}
		return nil
	})
	return out
}

func TestUninstallByAnotherProcess(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		must(t, w.d.Uninstall(t.Context()))
		base := w.saveTables()
		fill(w)
		var other *Datapath
		w.in(w.host, func() (err error) {
			other, err = New(Options{Binaries: VariantBinaries(w.variant)})
			return err
		})
		defer other.Close()
		must(t, other.Uninstall(t.Context()))
		if diff := cmp.Diff(base, w.saveTables()); diff != "" {
			t.Errorf("tables (-before +after):\n%s", diff)
		}
		must(t, other.Uninstall(t.Context()))
	})
}

func TestUserChainSurvives(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		fill(w)
		w.iptables("-A DOCKER-USER -s 203.0.113.9/32 -j DROP")
		want := w.d.state.desired()
		must(t, w.d.Prune(t.Context(), want))
		must(t, w.d.Uninstall(t.Context()))
		got := w.saveTables()
		if !strings.Contains(got, "-A DOCKER-USER -s 203.0.113.9/32 -j DROP") || strings.Contains(got, "-j DOCKER-USER") {
			t.Errorf("want the administrator's chain and no jump to it:\n%s", got)
		}
	})
}

// Everything said a second time changes not one line, nor does it write any.
func TestTwiceIsOnce(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		want := fill(w)
		must(t, w.d.Prune(t.Context(), want))
		before := w.saveTables()
		w.sayAgain(w.d, want)
		w.in(w.host, func() error {
			for _, f := range families {
				cur, err := w.d.bins.readTables(t.Context(), f)
				must(t, err)
				if s := plan(cur, w.d.state.ruleset(f, w.d.proxy, w.d.kernel[f].facts), nil); !s.empty() {
					t.Errorf("%s: still to do:\n%s", f, s)
				}
			}
			return nil
		})
		if diff := cmp.Diff(before, w.saveTables()); diff != "" {
			t.Errorf("tables (-before +after):\n%s", diff)
		}
	})
}

// An endpoint of another host is refused with a sentence, and no rule is made for it.
func TestEndpointElsewhereIsRefused(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		n := w.network(1)
		before := w.saveTables()
		err := w.d.EnsureEndpoint(t.Context(), datapath.Endpoint{ID: "there", NetworkID: n.ID, IPv4: nth(n.IPv4.Prefix, 9)})
		if want := "endpoint there: it has no device on this host, and nothing leads to endpoints of other hosts"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if diff := cmp.Diff(before, w.saveTables()); diff != "" {
			t.Errorf("tables (-before +after):\n%s", diff)
		}
	})
}

// sayAgain ensures all of want.
func (w *world) sayAgain(d *Datapath, want datapath.Desired) {
	w.t.Helper()
	for _, n := range want.Networks {
		must(w.t, d.EnsureNetwork(w.t.Context(), n))
	}
	for _, e := range want.Endpoints {
		must(w.t, d.EnsureEndpoint(w.t.Context(), e))
		must(w.t, d.EnsurePorts(w.t.Context(), e.ID, want.Ports[e.ID]))
	}
	for _, s := range want.Services {
		must(w.t, d.EnsureService(w.t.Context(), s))
	}
	must(w.t, d.Prune(w.t.Context(), want))
}

// withoutProxy leaves out the lines that depend on the ports the kernel gave, and the
// marks, which each change writes anew.
func withoutProxy(tables string) string {
	var keep []string
	for line := range strings.Lines(tables) {
		if !strings.Contains(line, "-j REDIRECT") && !strings.Contains(line, "fairway:"+factInstance+"=") {
			keep = append(keep, line)
		}
	}
	return strings.Join(keep, "")
}

// A daemon that died is followed by one that finds everything, keeps what is
// wanted without touching it, and removes the rest with Prune.
func TestRestartAdopts(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		foreignRules(w)
		// A start puts the jumps before what was inserted meanwhile, as Docker's does.
		must(t, w.d.Prune(t.Context(), datapath.Desired{}))
		want := fill(w)
		before := w.saveTables()
		next := w.open()
		w.sayAgain(next, want)
		if diff := cmp.Diff(withoutProxy(before), withoutProxy(w.saveTables())); diff != "" {
			t.Errorf("tables after a restart (-before +after):\n%s", diff)
		}
		must(t, next.Prune(t.Context(), datapath.Desired{Networks: want.Networks[:1]}))
		got := w.saveTables()
		for _, gone := range []string{"br2", "10.9.1.2", "10.9.2.0", "8080", "8000", "FAIRWAY-POOL"} {
			if strings.Contains(got, gone) {
				t.Errorf("%s still in the tables:\n%s", gone, got)
			}
		}
		for _, kept := range []string{"-i br1 -j ACCEPT", "br-other", "203.0.113.7", "172.30.0.2/32 -d"} {
			if !strings.Contains(got, kept) {
				t.Errorf("%s no longer in the tables:\n%s", kept, got)
			}
		}
	})
}

// Rules that another program flushed come back with the next change.
func TestMendsAfterFlush(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		want := fill(w)
		must(t, w.d.Prune(t.Context(), want))
		before := w.saveTables()
		w.iptables("-F")
		w.iptables("-t raw -F")
		w.iptables("-t nat -F")
		must(t, w.d.EnsurePorts(t.Context(), want.Endpoints[0].ID, nil))
		must(t, w.d.EnsurePorts(t.Context(), want.Endpoints[0].ID, want.Ports[want.Endpoints[0].ID]))
		must(t, w.d.Prune(t.Context(), want))
		after := w.saveTables()
		for line := range strings.Lines(withoutProxy(before)) {
			if !strings.Contains(after, line) {
				t.Errorf("missing after mending: %s", line)
			}
		}
	})
}

func TestForeignChainsAreRefused(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		must(t, w.d.Uninstall(t.Context()))
		w.iptables("-N DOCKER")
		w.iptables("-A DOCKER -j RETURN")
		before := w.saveTables()
		var d *Datapath
		w.in(w.host, func() (err error) {
			d, err = New(Options{Binaries: VariantBinaries(w.variant)})
			return err
		})
		defer d.Close()
		if err := d.EnsureHost(t.Context(), model.Host{}); !errors.Is(err, ErrForeign) {
			t.Errorf("EnsureHost: %v, want ErrForeign", err)
		}
		must(t, d.Uninstall(t.Context()))
		if diff := cmp.Diff(before, w.saveTables()); diff != "" {
			t.Errorf("Docker's tables (-before +after):\n%s", diff)
		}
	})
}

func TestMissingBinary(t *testing.T) {
	d, err := New(Options{Binaries: Binaries{Restore4: "no-such-iptables-restore", Save4: "no-such-iptables-save"}})
	must(t, err)
	defer d.Close()
	if err := d.EnsureHost(t.Context(), model.Host{}); err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("EnsureHost: %v, want the program's name and what to do", err)
	}
}

func TestMain(m *testing.M) {
	if !partial.Needs("iptables", "ip6tables", "nft", "nsenter", "ip") {
		return
	}
	code := root.Main(m)
	if left, _ := os.ReadDir("/run"); code == 0 {
		for _, e := range left {
			if strings.HasPrefix(e.Name(), fmt.Sprintf("fwipt-%d-", os.Getpid())) {
				os.Stderr.WriteString("left behind: /run/" + e.Name() + "\n")
				code = 1
			}
		}
	}
	os.Exit(code)
}
