// SPDX-License-Identifier: Apache-2.0

// Package attachment accesses the map of the endpoints that network namespaces have, by the
// namespace's cookie (SO_NETNS_COOKIE) and the network.
//
// Be aware: programs count in the entries. What they count while one is written is lost.
package attachment

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/maps/table"
)

// Key is a namespace on a network.
type Key struct {
	// Netns is the namespace's cookie.
	Netns uint64
	// Network is a slot in package network; 0 with the host's own namespace, which no
	// endpoint has.
	Network uint16
}

// Attachment is what a namespace has on a network.
type Attachment struct {
	// Endpoint is a slot in package endpoint, Generation that of its owner.
	Endpoint, Generation uint16
	// Led is how many sockets were led to a backend's endpoint. Programs count it.
	Led uint32
}

// Table is the map.
type Table struct{ m *ebpf.Map }

// New returns the table in these maps, which stay the caller's.
func New(m *object.DatapathMaps) *Table { return &Table{m: m.Attachments} }

// Put adds or replaces what a namespace has on a network.
func (t *Table) Put(k Key, a Attachment) error {
	v := object.DatapathAttachment{Endpoint: a.Endpoint, Generation: a.Generation, Led: a.Led}
	if err := t.m.Put(toKey(k), &v); err != nil {
		return fmt.Errorf("attachment of namespace %d to network %d: %w", k.Netns, k.Network, err)
	}
	return nil
}

// Led returns how many of the namespace's sockets were led on the network; 0 if it has nothing there.
func (t *Table) Led(k Key) (uint32, error) {
	var v object.DatapathAttachment
	err := t.m.Lookup(toKey(k), &v)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("attachment of namespace %d to network %d: %w", k.Netns, k.Network, err)
	}
	return v.Led, nil
}

// Delete removes it; one that is gone is not an error.
func (t *Table) Delete(k Key) error {
	return table.Delete(t.m, toKey(k), "attachment of namespace %d to network %d", k.Netns, k.Network)
}

// All returns what all namespaces have.
func (t *Table) All() (map[Key]Attachment, error) {
	return table.All(t.m, "attachments", fromKey, fromValue)
}

func toKey(k Key) *object.DatapathAttachmentKey {
	return &object.DatapathAttachmentKey{Netns: k.Netns, Network: uint32(k.Network)}
}

func fromKey(k *object.DatapathAttachmentKey) Key {
	return Key{Netns: k.Netns, Network: uint16(k.Network)}
}

func fromValue(v *object.DatapathAttachment) Attachment {
	return Attachment{Endpoint: v.Endpoint, Generation: v.Generation, Led: v.Led}
}
