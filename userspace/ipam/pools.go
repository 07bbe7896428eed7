// SPDX-License-Identifier: Apache-2.0

package ipam

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Pool is a range of addresses that networks without a subnet of their own get
// a part of: the first free block of prefix length Size.
type Pool struct {
	Base netip.Prefix
	Size int
}

// DefaultPools returns Docker's local pools: 172.17 to 172.31 as /16, and
// 192.168.0.0/16 as /20.
func DefaultPools() []Pool {
	pools := make([]Pool, 0, 16)
	for second := byte(17); second <= 31; second++ {
		base := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, second, 0, 0}), 16)
		pools = append(pools, Pool{Base: base, Size: 16})
	}
	return append(pools, Pool{Base: netip.MustParsePrefix("192.168.0.0/16"), Size: 20})
}

// pick returns the first block of the pools that is free. The first pool is
// left to the default bridge as long as another one has room.
func pick(pools []Pool, size int, forDefault bool, free func(netip.Prefix) bool) (netip.Prefix, error) {
	order := pools
	if !forDefault && len(pools) > 1 {
		order = append(append([]Pool{}, pools[1:]...), pools[0])
	}
	for _, pool := range order {
		if p, ok := pool.pick(size, free); ok {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("%w: give the network a --subnet", ErrNoPool)
}

// pick tries the blocks of one pool; size 0 means the pool's own.
func (p Pool) pick(size int, free func(netip.Prefix) bool) (netip.Prefix, bool) {
	if size == 0 {
		size = p.Size
	}
	if size < p.Base.Bits() {
		return netip.Prefix{}, false
	}
	for at, ok := p.Base.Masked().Addr(), true; ok && p.Base.Contains(at); at, ok = nextBlock(at, size) {
		if block := netip.PrefixFrom(at, size); free(block) {
			return block, true
		}
	}
	return netip.Prefix{}, false
}

// pickULA returns a /64 of fd00::/8 (RFC 4193 section 3.2.2: global ID and subnet
// ID from a hash), always the same for one network ID unless it is taken.
func pickULA(networkID string, free func(netip.Prefix) bool) (netip.Prefix, error) {
	for try := range uint32(64) {
		sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte("ula:"+networkID), try))
		var raw [16]byte
		raw[0] = 0xfd
		copy(raw[1:8], sum[:7])
		if p := netip.PrefixFrom(netip.AddrFrom16(raw), 64); free(p) {
			return p, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("IPv6: %w: give the network a --subnet", ErrNoPool)
}
