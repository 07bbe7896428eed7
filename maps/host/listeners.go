// SPDX-License-Identifier: Apache-2.0

package host

import (
	"fmt"

	"github.com/fairway-project/fairway/maps/object"
)

// protocols is how many a family has.
const protocols = uint32(object.DatapathLimitPROTOCOLS)

// Protocol is one of IPv4's or of IPv6's, by IANA's number.
type Protocol struct {
	IPv6   bool
	Number uint8
}

// PutListeners says how many sockets and devices of the host take all packets of a
// protocol: no container's are masqueraded where that isn't 0.
func (t *Table) PutListeners(p Protocol, n uint32) error {
	if err := t.listeners.Put(p.index(), n); err != nil {
		return fmt.Errorf("listeners of protocol %d: %w", p.Number, err)
	}
	return nil
}

// Listeners returns what PutListeners said, where it isn't 0.
func (t *Table) Listeners() (map[Protocol]uint32, error) {
	all := make(map[Protocol]uint32)
	for i := range 2 * protocols {
		var n uint32
		if err := t.listeners.Lookup(i, &n); err != nil {
			return nil, fmt.Errorf("listeners: %w", err)
		}
		if n != 0 {
			all[Protocol{IPv6: i >= protocols, Number: uint8(i % protocols)}] = n
		}
	}
	return all, nil
}

func (p Protocol) index() uint32 {
	if p.IPv6 {
		return protocols + uint32(p.Number)
	}
	return uint32(p.Number)
}
