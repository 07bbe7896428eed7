// SPDX-License-Identifier: Apache-2.0

package prog

import (
	"fmt"
	"net/netip"

	"github.com/fairway-project/fairway/maps/service"
	"github.com/fairway-project/fairway/test/progrun/testrun"
	"github.com/fairway-project/fairway/userspace/maglev"
	"github.com/fairway-project/fairway/userspace/model"
)

// Paths that are services'.
const (
	aService     = "service"
	largeService = "service-of-1000"
	manyServices = "one-of-10000-services"
)

// pools are those of a path.
func (p path) pools() pools {
	switch p.name {
	case aService:
		return pools{services: 1, backends: 2}
	case largeService:
		return pools{services: 1, backends: 1000}
	case manyServices:
		return pools{services: 10000, backends: 10}
	}
	return pools{}
}

// pools are so many services, each with a port of its own and so many backends. Packets use
// the last one.
type pools struct{ services, backends int }

func (p pools) put(h *testrun.Host, v6 bool) error {
	if p.services == 0 {
		return nil
	}
	slots := make([]uint16, p.services)
	for i := range slots {
		slots[i] = uint16(i + 1)
		port := served - uint16(p.services-1-i)
		if err := h.Front(testrun.Any(v6), port, model.TCP, 0, slots[i]); err != nil {
			return err
		}
	}
	last := slots[len(slots)-1]
	if err := p.fill(h, v6, last); err != nil {
		return err
	}
	return h.CopyPool(last, slots[:len(slots)-1])
}

// fill gives a slot its backends, at ports of one endpoint, and the settings and the ring that a
// daemon makes.
func (p pools) fill(h *testrun.Host, v6 bool, slot uint16) error {
	backends, members := make([]service.Backend, p.backends), make([]maglev.Backend, p.backends)
	for i := range backends {
		backends[i] = testrun.Backend(h.Web, v6, target+uint16(i))
		members[i] = maglev.Backend{Name: netip.AddrPortFrom(h.Web.Addr(v6), target+uint16(i)).String(), Weight: 1}
	}
	if err := h.PutPool(slot, service.Settings{Passive: true}, backends...); err != nil {
		return err
	}
	places := maglev.Table(members, maglev.Size(len(members)))
	for i := range places {
		places[i]++
	}
	if err := h.Services.PutRing(slot, places); err != nil {
		return fmt.Errorf("%d backends: %w", p.backends, err)
	}
	return nil
}
