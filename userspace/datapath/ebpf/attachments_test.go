// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/fairway-project/fairway/maps/attachment"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
)

// attachments is what the table says, but for the host's own namespace.
func (w *world) attachments() map[attachment.Key]attachment.Attachment {
	w.t.Helper()
	all, err := w.dp.attachments.table.All()
	if err != nil {
		w.t.Fatal(err)
	}
	if _, is := all[attachment.Key{Netns: w.dp.attachments.host}]; !is {
		w.t.Error("the host's namespace isn't in the table")
	}
	delete(all, attachment.Key{Netns: w.dp.attachments.host})
	return all
}

// namespace makes one and returns its path and its cookie.
func (w *world) namespace(name string) (string, uint64) {
	w.t.Helper()
	path := filepath.Join(w.t.TempDir(), name)
	var cookie uint64
	err := netns.Create(path)
	if err == nil {
		w.t.Cleanup(func() {
			if err := netns.Delete(path); err != nil {
				w.t.Error(err)
			}
		})
		cookie, err = netns.Cookie(path)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return path, cookie
}

// A namespace is known for as long as it has an endpoint, through restarts; the host's is nobody's.
func TestAttachments(t *testing.T) {
	w := newWorld(t)
	path, cookie := w.namespace("box")
	next, nextCookie := w.namespace("next")
	e, other := w.endpoint(1), w.endpoint(2)
	e.Netns = path
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(e), w.endpointIs(other))
	slot, generation := w.dp.endpoints.byID[e.ID].slot, w.dp.endpoints.byID[e.ID].value.Generation
	is := func(cookie uint64, led uint32) map[attachment.Key]attachment.Attachment {
		return map[attachment.Key]attachment.Attachment{{Netns: cookie, Network: 1}: {Endpoint: slot, Generation: generation, Led: led}}
	}
	equal(t, "attached", w.attachments(), is(cookie, 0))
	// What programs have counted stays.
	if err := w.dp.attachments.table.Put(attachment.Key{Netns: cookie, Network: 1}, attachment.Attachment{Endpoint: slot, Generation: generation, Led: 3}); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()))
	equal(t, "after a restart", w.attachments(), is(cookie, 3))
	w.ensure(w.endpointIs(e), w.endpointIs(other))
	equal(t, "said again", w.attachments(), is(cookie, 3))
	paths, host, err := w.dp.attachments.leading(func(network uint16) bool { return network == 1 })
	if err != nil || host || len(paths) != 1 || paths[cookie] != path {
		t.Errorf("namespaces with led sockets: %v, the host's %t, %v", paths, host, err)
	}
	// Its sockets live on when it gets another device, and when its endpoint is made again.
	w.remove("veth1")
	e.HostIndex = w.veth("veth1", true)
	w.ensure(w.endpointIs(e))
	generation = w.dp.endpoints.byID[e.ID].value.Generation
	equal(t, "with another device", w.attachments(), is(cookie, 3))
	w.ensure(w.endpointGone(e.ID), w.endpointIs(e))
	slot, generation = w.dp.endpoints.byID[e.ID].slot, w.dp.endpoints.byID[e.ID].value.Generation
	equal(t, "made again", w.attachments(), is(cookie, 1))
	e.Netns = next
	w.ensure(w.endpointIs(e))
	equal(t, "in another namespace", w.attachments(), is(nextCookie, 0))
	for what, path := range map[string]string{"nobody knows which": "", "the host's": w.netns, "one that is gone": filepath.Join(t.TempDir(), "gone")} {
		e.Netns = path
		w.ensure(w.endpointIs(e))
		equal(t, "in "+what, w.attachments(), map[attachment.Key]attachment.Attachment{})
	}
	e.Netns = next
	w.ensure(w.endpointIs(e))
	w.restart()
	w.ensure(w.hostIs(w.host()), w.networkIs(w.network()), w.endpointIs(other))
	w.ensure(w.pruned(datapath.Desired{Networks: []datapath.Network{w.network()}, Endpoints: []datapath.Endpoint{other}}))
	equal(t, "after it went without a daemon", w.attachments(), map[attachment.Key]attachment.Attachment{})
	w.ensure(w.endpointIs(e))
	w.ensure(w.pruned(datapath.Desired{Networks: []datapath.Network{w.network()}, Endpoints: []datapath.Endpoint{other}}))
	equal(t, "after nobody wanted it any more", w.attachments(), map[attachment.Key]attachment.Attachment{})
}

// A pool says on which network its active backends are, if that is one.
func TestPoolSaysItsNetwork(t *testing.T) {
	w, all := serviceWorld(t)
	s := udpService(all[0], all[1])
	outside := s
	outside.Pools = []datapath.Pool{{Backends: append([]datapath.Backend{{
		Target: netip.MustParseAddrPort("198.51.100.9:80"), Weight: 1, State: model.BackendActive,
	}}, s.Pools[0].Backends...)}}
	for _, c := range []struct {
		what string
		said datapath.Service
		want uint16
	}{
		{"both on net1", s, 1},
		{"one outside, too", outside, 0},
		{"without that", s, 1},
		{"one down", stateOf(s, 0, model.BackendDown), 1},
		{"one outside, which is down", stateOf(outside, 0, model.BackendDown), 1},
		{"nobody", udpService(), 0},
	} {
		w.ensure(w.serviceIs(c.said))
		settings, _, _, err := w.dp.services.table.Pool(w.dp.services.byID[s.ID].pools[0].slot)
		if err != nil || settings.Network != c.want {
			t.Errorf("%s: network %d, %v, want %d", c.what, settings.Network, err, c.want)
		}
	}
}
