// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"
	"maps"

	"github.com/fairway-project/fairway/maps/attachment"
	"github.com/fairway-project/fairway/maps/endpoint"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/netns"
)

// attachments say by a namespace's cookie which endpoints it has: by that the programs know the
// sockets that may be connected to a service's backend themselves. An entry counts for as long
// as its endpoint's generation does, so what is left of an endpoint that is gone does no harm.
type attachments struct {
	table *attachment.Table
	host  uint64
	// known is the map's content, but for what programs count; of the keys of endpoints that
	// this process has ensured, by their ID, and paths those of their namespaces by cookie.
	known map[attachment.Key]attachment.Attachment
	of    map[string]attachment.Key
	paths map[uint64]string
	// parted are namespaces that had led sockets on a network when they lost their endpoint
	// there. These live on, and lead there again when it is made anew.
	parted map[attachment.Key]bool
}

// maxParted bounds what is kept of namespaces that have ended.
const maxParted = endpoint.MaxSlots

// adoptAttachments also enters the host's own namespace, whose sockets are led without.
func adoptAttachments(t *attachment.Table, host *netns.NS) (*attachments, error) {
	a := &attachments{table: t, of: make(map[string]attachment.Key), paths: make(map[uint64]string), parted: make(map[attachment.Key]bool)}
	var err error
	if a.host, err = host.Cookie(); err != nil {
		return nil, err
	}
	if a.known, err = t.All(); err != nil {
		return nil, err
	}
	return a, a.put(attachment.Key{Netns: a.host}, attachment.Attachment{})
}

// ensure says whose an endpoint is, where its namespace is known and isn't the host's.
func (a *attachments) ensure(e datapath.Endpoint, st *endpointState) error {
	if e.Netns == "" {
		return a.delete(e.ID)
	}
	cookie, err := netns.Cookie(e.Netns)
	if errors.Is(err, netns.ErrNotExist) || errors.Is(err, netns.ErrNotNetns) {
		// It has ended, and with it all of its sockets.
		return a.delete(e.ID)
	}
	if err != nil {
		return fmt.Errorf("namespace of the endpoint: %w", err)
	}
	k := attachment.Key{Netns: cookie, Network: st.value.Network}
	if cookie == a.host {
		return a.delete(e.ID)
	}
	if former, ok := a.of[e.ID]; ok && former != k {
		if err := a.delete(e.ID); err != nil {
			return err
		}
	}
	if err := a.put(k, attachment.Attachment{Endpoint: st.slot, Generation: st.value.Generation}); err != nil {
		return err
	}
	a.of[e.ID], a.paths[cookie] = k, e.Netns
	return nil
}

func (a *attachments) put(k attachment.Key, want attachment.Attachment) error {
	have, is := a.known[k]
	have.Led = 0
	if is && have == want {
		return nil
	}
	led, err := a.table.Led(k)
	if err != nil {
		return err
	}
	written := want
	if written.Led = led; a.parted[k] {
		written.Led++
	}
	if err := a.table.Put(k, written); err != nil {
		return err
	}
	delete(a.parted, k)
	a.known[k] = want
	return nil
}

// delete removes what is said of an endpoint, unless that is another's by now.
func (a *attachments) delete(id string) error {
	k, ok := a.of[id]
	if !ok {
		return nil
	}
	shared, inUse := false, false
	for other, o := range a.of {
		if other != id {
			shared, inUse = shared || o == k, inUse || o.Netns == k.Netns
		}
	}
	if !shared {
		if err := a.drop(k); err != nil {
			return err
		}
	}
	delete(a.of, id)
	if !inUse {
		delete(a.paths, k.Netns)
	}
	return nil
}

// prune removes what is said of endpoints that are gone: known tells of those that this process
// has ensured, used of slots.
func (a *attachments) prune(known func(id string) bool, used func(slot uint16) bool) error {
	var errs []error
	for id := range maps.Clone(a.of) {
		if !known(id) {
			errs = append(errs, a.delete(id))
		}
	}
	mine := make(map[attachment.Key]bool)
	for _, k := range a.of {
		mine[k] = true
	}
	for k, v := range maps.Clone(a.known) {
		if !mine[k] && k.Netns != a.host && !used(v.Endpoint) {
			errs = append(errs, a.drop(k))
		}
	}
	return errors.Join(errs...)
}

func (a *attachments) drop(k attachment.Key) error {
	led, err := a.table.Led(k)
	if err == nil {
		err = a.table.Delete(k)
	}
	if err != nil {
		return err
	}
	if led > 0 {
		if len(a.parted) >= maxParted {
			clear(a.parted)
		}
		a.parted[k] = true
	}
	delete(a.known, k)
	return nil
}

// leading are the paths of the namespaces of which sockets have been led to endpoints of such
// networks, by cookie; host says whether of the host's own any have been led at all.
func (a *attachments) leading(to func(network uint16) bool) (paths map[uint64]string, host bool, err error) {
	all, err := a.table.All()
	paths = make(map[uint64]string)
	for k, v := range all {
		path, known := a.paths[k.Netns]
		switch {
		case v.Led == 0:
		case k.Netns == a.host:
			host = true
		case known && to(k.Network):
			paths[k.Netns] = path
		}
	}
	return paths, host, err
}
