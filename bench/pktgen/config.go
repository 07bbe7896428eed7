// SPDX-License-Identifier: Apache-2.0

package pktgen

import (
	"fmt"
	"math"
	"net"
	"net/netip"
)

// Protocol is what a packet carries.
type Protocol int

// UDP packets carry a payload of 20 bytes that begins with the mark; SYN are the
// first packets of TCP connections, without options and without a mark.
const (
	UDP Protocol = iota
	SYN
)

// Config says what packets a Generator makes, and where they go.
type Config struct {
	// Netns is the path of the namespace that Device, which sends them, is in.
	Netns, Device string
	// SrcMAC and DstMAC are of Ethernet's header.
	SrcMAC, DstMAC net.HardwareAddr
	Protocol       Protocol
	Flows          Flows
	// Mark begins each datagram's payload.
	Mark uint64
	// CPU makes the packets; without it whichever the scheduler chooses.
	CPU *int
}

// Flows are what source and destination a run's packets have, one flow after the
// other.
type Flows struct {
	// Src and Dst are of the first flow, of one family.
	Src, Dst netip.AddrPort
	// SrcPorts to DstAddrs say how many of each there are, counted upwards from Src
	// and Dst; zero is one. Source ports change fastest, destination addresses
	// slowest.
	SrcPorts, SrcAddrs, DstPorts, DstAddrs uint32
	// Count is how many flows there are; zero is all that those four make.
	Count uint32
	// Random chooses each of the four at random for every packet, and doesn't look
	// at Count.
	Random bool
}

// sizes are the dimensions in the generator's order.
func (f *Flows) sizes() [4]uint32 {
	var sizes [4]uint32
	sizes[generatorDimensionSRC_PORT] = max(f.SrcPorts, 1)
	sizes[generatorDimensionSRC_ADDR] = max(f.SrcAddrs, 1)
	sizes[generatorDimensionDST_PORT] = max(f.DstPorts, 1)
	sizes[generatorDimensionDST_ADDR] = max(f.DstAddrs, 1)
	return sizes
}

// bases are what the dimensions are counted from.
func (f *Flows) bases() [4]uint32 {
	var bases [4]uint32
	bases[generatorDimensionSRC_PORT] = uint32(f.Src.Port())
	bases[generatorDimensionSRC_ADDR] = lastWord(f.Src.Addr())
	bases[generatorDimensionDST_PORT] = uint32(f.Dst.Port())
	bases[generatorDimensionDST_ADDR] = lastWord(f.Dst.Addr())
	return bases
}

// Total is how many different flows there are.
func (f *Flows) Total() uint64 {
	if f.Count != 0 {
		return uint64(f.Count)
	}
	total := uint64(1)
	for _, n := range f.sizes() {
		total *= uint64(n)
	}
	return total
}

func (c *Config) check() error {
	f := &c.Flows
	if len(c.SrcMAC) != 6 || len(c.DstMAC) != 6 {
		return fmt.Errorf("packets from %q to %q: not Ethernet addresses", c.SrcMAC, c.DstMAC)
	}
	if !f.Src.IsValid() || f.Src.Addr().Is4() != f.Dst.Addr().Is4() {
		return fmt.Errorf("flows from %s to %s: not of one family", f.Src, f.Dst)
	}
	sizes, bases := f.sizes(), f.bases()
	all := uint64(1)
	for d, n := range sizes {
		limit := uint64(math.MaxUint32)
		if d == int(generatorDimensionSRC_PORT) || d == int(generatorDimensionDST_PORT) {
			limit = math.MaxUint16
		}
		if uint64(bases[d])+uint64(n)-1 > limit {
			return fmt.Errorf("flows from %s to %s: %d more than there are", f.Src, f.Dst, n)
		}
		all *= uint64(n)
	}
	if total := f.Total(); !f.Random && (total > all || total > math.MaxUint32) {
		return fmt.Errorf("flows from %s to %s: %d are wanted of %d", f.Src, f.Dst, total, all)
	}
	return nil
}
