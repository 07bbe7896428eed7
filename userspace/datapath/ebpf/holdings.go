// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"iter"
	"maps"

	"github.com/fairway-project/fairway/maps/publish"
)

// holder is whose publications are: an endpoint, or a pool of a service.
type holder struct {
	slot    uint16
	service bool
}

func endpointHolder(slot uint16) holder { return holder{slot, false} }

func poolHolder(slot uint16) holder { return holder{slot, true} }

func holderOf(e publish.Entry) holder { return holder{e.Endpoint, e.Service} }

// holdings are the keys of publications by whose they are. Ten thousand pools have one key each,
// for which a set would take ten times the room.
type holdings map[holder]holding

// holding is one key, or a set of more.
type holding struct {
	only publish.Key
	more map[publish.Key]bool
}

func (h holdings) add(of holder, k publish.Key) {
	have, is := h[of]
	switch {
	case !is:
		h[of] = holding{only: k}
	case have.more != nil:
		have.more[k] = true
	case have.only != k:
		h[of] = holding{more: map[publish.Key]bool{have.only: true, k: true}}
	}
}

// remove takes a key from a holder that has it.
func (h holdings) remove(of holder, k publish.Key) {
	have := h[of]
	delete(have.more, k)
	if len(have.more) == 0 {
		delete(h, of)
	}
}

// keys are a holder's, of which some may be removed meanwhile.
func (h holdings) keys(of holder) iter.Seq[publish.Key] {
	have, is := h[of]
	switch {
	case have.more != nil:
		return maps.Keys(have.more)
	case is:
		return func(yield func(publish.Key) bool) { yield(have.only) }
	}
	return func(func(publish.Key) bool) {}
}

// any reports whether a holder has a key.
func (h holdings) any(of holder) bool {
	_, is := h[of]
	return is
}
