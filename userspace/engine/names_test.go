// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/request"
)

// From its first answer a resolver of the next daemon knows all peers that run: one that
// isn't known would be asked for at the host's servers, which deny it.
func TestNamesAreKnownAtOnceAfterARestart(t *testing.T) {
	w := newWorld(t)
	_, err := w.CreateNetwork(t.Context(), request.NetworkCreate{Name: "n"})
	must(t, err)
	want := map[string]netip.Addr{}
	for _, name := range []string{"a", "b", "c"} {
		v, err := w.Add(t.Context(), request.Add{Netns: w.namespace(name), SandboxConfig: request.SandboxConfig{
			Name: name, Networks: []request.EndpointSettings{{Network: "n"}},
		}})
		must(t, err)
		want[name] = v.Endpoints[0].IPv4.Addr()
	}
	w.shut()
	var mu sync.Mutex
	asked := 0
	w.fake.onResolver = func(r datapath.Resolver) {
		for name, addr := range want {
			got, err := ask(r, name)
			if err != nil || len(got) != 1 || got[0] != addr {
				t.Errorf("%s is %v, %v; want %v", name, got, err, addr)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		asked++
	}
	w.open()
	w.fake.onResolver = nil
	if asked != len(want) {
		t.Errorf("%d resolvers were asked, want %d", asked, len(want))
	}
}

// ask asks the resolver for a name at the port where it listens.
func ask(r datapath.Resolver, name string) ([]netip.Addr, error) {
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (c net.Conn, err error) {
		err = netns.Do(r.Netns, func() error {
			c, err = new(net.Dialer).DialContext(ctx, "udp", net.JoinHostPort("127.0.0.11", strconv.Itoa(int(r.UDPPort))))
			return err
		})
		return c, err
	}}
	return resolver.LookupNetIP(context.Background(), "ip4", name+".")
}

// A link's target that is gone isn't found again as the beginning of another one's ID.
func TestLinkToNobody(t *testing.T) {
	s := newState()
	net := &model.Network{ID: "n", Name: "bridge", Bridge: model.Bridge{Default: true}}
	stranger := &model.Sandbox{ID: "db01", Name: "stranger"}
	web := &model.Sandbox{ID: "ee01", Name: "web", Links: []model.Link{{Sandbox: "db", Alias: "db"}}}
	s.put(change{networks: []*model.Network{net}, sandboxes: []*model.Sandbox{stranger, web}, endpoints: []*model.Endpoint{
		{ID: "e1", SandboxID: stranger.ID, NetworkID: net.ID}, {ID: "e2", SandboxID: web.ID, NetworkID: net.ID},
	}})
	if targets := s.defaultLinks(web); len(targets) != 0 {
		t.Errorf("the link leads to %s", targets[0].sb.Name)
	}
	db := &model.Sandbox{ID: "ff01", Name: "db"}
	s.put(change{sandboxes: []*model.Sandbox{db}, endpoints: []*model.Endpoint{{ID: "e3", SandboxID: db.ID, NetworkID: net.ID}}})
	if targets := s.defaultLinks(web); len(targets) != 1 || targets[0].sb != db {
		t.Errorf("the link leads to %v", targets)
	}
}
