// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/object"
)

// fillers say what members become that entries of a group's revision lack, or that meant
// something else in it, by table and path. They stay as long as a version with such a
// revision may be the one that is replaced.
func fillers(revision int) map[string]filler {
	all := make(map[string]filler)
	if revision < 1 {
		all[object.DatapathMapFlows4+".key.echo"] = fillEcho
		all[object.DatapathMapFlows6+".key.echo"] = fillEcho
	}
	return all
}

// fillEcho tells an echo's request and reply: flows of ICMP were begun by requests, but
// for other queries to routed containers, which have no identifier.
func fillEcho(e entry) {
	proto, flags := e.key.uint("proto"), e.value.uint("flow.flags")
	if proto != unix.IPPROTO_ICMP && proto != unix.IPPROTO_ICMPV6 {
		return
	}
	kind := flags >> uint64(object.DatapathFlowFlagFLOW_KIND_SHIFT) & 3
	if kind == uint64(object.DatapathFlowKindFLOW_ROUTED) && e.key.uint("sport") == 0 && e.key.uint("dport") == 0 {
		return
	}
	if flags&uint64(object.DatapathFlowFlagFLOW_ORIGIN) != 0 {
		e.key.set("echo", uint64(object.DatapathFlowEchoFLOW_ECHO_REQUEST))
	} else {
		e.key.set("echo", uint64(object.DatapathFlowEchoFLOW_ECHO_REPLY))
	}
}
