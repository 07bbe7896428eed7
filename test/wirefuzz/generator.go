// SPDX-License-Identifier: Apache-2.0

package wirefuzz

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// World is what frames are made of. Every list needs one element at least, and Own and
// Addrs one of each family.
type World struct {
	// Station is the sender's hardware address, Own are its addresses.
	Station net.HardwareAddr
	Own     []netip.Addr
	// MACs are destinations, with broadcast and groups among them.
	MACs []net.HardwareAddr
	// Claims are hardware addresses that the sender pretends to have now and then.
	Claims []net.HardwareAddr
	// Sources are addresses that it pretends to have, Targets those that it sends to.
	Sources, Targets []netip.Addr
	Ports            []uint16
	// Quiet leaves out what poisons the caches of a plain LAN, where nobody guards
	// them: ARP, neighbour discovery and redirects.
	Quiet bool
}

// Generator makes the frames of one sender.
type Generator struct {
	rand   *rand.Rand
	world  World
	mark   Mark
	buffer gopacket.SerializeBuffer
	queue  [][]byte
}

// New returns a generator whose frames follow from the seed, the origin and the world.
func New(seed uint64, origin byte, w World) *Generator {
	return &Generator{
		rand: rand.New(rand.NewPCG(seed, uint64(origin))), world: w, mark: Mark{Origin: origin},
		buffer: gopacket.NewSerializeBuffer(),
	}
}

// Next returns a frame that the caller may keep. Fragments of one datagram follow each
// other, in any order.
func (g *Generator) Next() []byte {
	if len(g.queue) == 0 {
		g.mark.Serial++
		g.mark.Valid = g.rand.IntN(2) == 0
		g.queue = g.frames()
	}
	next := g.queue[0]
	g.queue = g.queue[1:]
	return next
}

// frames makes what goes out for one serial number.
func (g *Generator) frames() [][]byte {
	switch n := g.rand.IntN(32); {
	case n == 0 && !g.world.Quiet:
		return g.broken(g.arp())
	case n == 1:
		return g.broken(g.serialize(g.ethernet(layers.EthernetType(g.rand.Uint32())), gopacket.Payload(g.mark.fill(64))))
	case n < 6:
		return g.fragments()
	}
	h := g.header()
	return g.broken(g.serialize(append(g.link(h), h.layers(g.transport(h))...)...))
}

// broken damages a frame that isn't to be valid.
func (g *Generator) broken(frame []byte) [][]byte {
	if !g.mark.Valid {
		frame = g.damage(frame)
	}
	return [][]byte{frame}
}

// serialize puts layers together, with lengths and checksums that are right.
func (g *Generator) serialize(ls ...gopacket.SerializableLayer) []byte {
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(g.buffer, opts, ls...); err != nil {
		panic(err) // a layer that can't be written is a mistake in this package
	}
	return bytes.Clone(g.buffer.Bytes())
}

func pick[T any](g *Generator, from []T) T { return from[g.rand.IntN(len(from))] }

// seldom is true once in n times.
func (g *Generator) seldom(n int) bool { return g.rand.IntN(n) == 0 }
