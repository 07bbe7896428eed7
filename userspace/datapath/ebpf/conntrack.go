// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"github.com/fairway-project/fairway/maps/flow"
	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/conntrack"
	"github.com/fairway-project/fairway/userspace/model"
)

// trackOf returns the connection that h is a half of as netfilter sees it, on the container's
// side of all translation, if its entry is to go with the flow: TCP's would else stay for five
// days, and make the rules take what the next container with its address begins for established.
func trackOf(h *flow.Half) (t conntrack.Tuple, tracked bool) {
	if h.Proto != uint8(model.TCP) {
		return t, false
	}
	origin, natSrc, natDst := h.Key, h.NATSrc, h.NATDst
	twinWorld := h.Flags&object.DatapathFlowFlagFLOW_TWIN_WORLD != 0
	if !h.Origin() {
		twinWorld = h.Zone == object.DatapathZoneZONE_WORLD
		origin, natSrc, natDst = h.Twin(), h.Dst, h.Src
	}
	switch {
	case origin.Zone == object.DatapathZoneZONE_WORLD:
		return conntrack.Tuple{Proto: h.Proto, Src: natSrc, Dst: natDst}, true
	case twinWorld:
		return conntrack.Tuple{Proto: h.Proto, Src: origin.Src, Dst: origin.Dst}, true
	}
	return t, false
}
