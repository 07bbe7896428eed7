// SPDX-License-Identifier: Apache-2.0

package iptables

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/netns"
)

// listenDNS plays the resolver in a sandbox: it answers "NAME PEER" on random ports.
func listenDNS(t *testing.T, ns, name string) datapath.Resolver {
	t.Helper()
	r := datapath.Resolver{SandboxID: "sandbox", Netns: ns}
	must(t, netns.Do(ns, func() error {
		l, err := net.Listen("tcp", "127.0.0.11:0")
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.11:0")))
		if err != nil {
			return err
		}
		t.Cleanup(func() { u.Close() })
		r.TCPPort, r.UDPPort = portOf(l.Addr()), portOf(u.LocalAddr())
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "%s\n", name)
				c.Close()
			}
		}()
		go func() {
			buf := make([]byte, 512)
			for {
				_, from, err := u.ReadFromUDPAddrPort(buf)
				if err != nil {
					return
				}
				_, _ = u.WriteToUDPAddrPort([]byte(name+"\n"), from)
			}
		}()
		return nil
	}))
	return r
}

func TestResolver(t *testing.T) {
	forVariants(t, func(t *testing.T, w *world) {
		ns := w.newNetns("sandbox")
		save := func() string { return changing.ReplaceAllString(w.run(ns, VariantBinaries(w.variant).Save4), "") }
		if w.variant == "legacy" {
			w.run(ns, "iptables-legacy -t nat -S")
		}
		first := listenDNS(t, ns, "first")
		must(t, w.d.EnsureResolver(t.Context(), first))
		before := save()
		must(t, w.d.EnsureResolver(t.Context(), first))
		if after := save(); after != before {
			t.Errorf("a second EnsureResolver changed the rules:\n%s\n%s", before, after)
		}
		client, err := dial(ns, "udp", "127.0.0.11", 53, patience)
		must(t, err)
		defer client.Close()
		reaches(t, ns, "tcp", "127.0.0.11", 53, "first")
		if got, err := exchange(client, patience); err != nil || got != "first" {
			t.Errorf("udp: answer %q, error %v", got, err)
		}
		// After a restart of the daemon, the same socket finds the new resolver.
		second := listenDNS(t, ns, "second")
		must(t, w.d.EnsureResolver(t.Context(), second))
		reaches(t, ns, "tcp", "127.0.0.11", 53, "second")
		if got, err := exchange(client, patience); err != nil || got != "second" {
			t.Errorf("udp after a restart: answer %q, error %v", got, err)
		}
		must(t, w.d.DeleteResolver(t.Context(), second.SandboxID))
		must(t, w.d.DeleteResolver(t.Context(), second.SandboxID))
		if got := save(); strings.Contains(got, "DOCKER") {
			t.Errorf("rules left in the sandbox:\n%s", got)
		}
	})
}

func TestResolverOfGoneSandbox(t *testing.T) {
	w := newWorld(t, "nft")
	ns := w.newNetns("sandbox")
	must(t, w.d.EnsureResolver(t.Context(), listenDNS(t, ns, "x")))
	must(t, netns.Delete(ns))
	must(t, w.d.DeleteResolver(t.Context(), "sandbox"))
	gone := datapath.Resolver{SandboxID: "other", Netns: filepath.Join(w.dir, "none"), UDPPort: 1, TCPPort: 1}
	if err := w.d.EnsureResolver(t.Context(), gone); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("EnsureResolver in a namespace that isn't there: %v", err)
	}
}
