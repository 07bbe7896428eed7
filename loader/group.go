// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/fairway-project/fairway/maps/object"
)

// group is a set of tables that belong together. When the layout of one of them changes,
// or another table joins, all of the group begin anew in a directory of their own, and no
// other group is concerned.
type group struct {
	name string
	// revision counts changes of what the tables' entries look like or mean, from 1 on;
	// a test compares it with the layout. A version refuses tables with a later one than it
	// knows, and has what earlier ones lack from fillers.
	revision int
	tables   []string
	bring    bring
}

// bring is how what older tables hold comes into new ones.
type bring int

const (
	// anew: not at all. For counters, for what lasts no longer than a packet, for what is
	// soon learned again, or what no more than a datagram is lost with.
	anew bring = iota
	// copied by the names of members, once.
	copied
	// said: copied, and the control plane says it all again before older programs are
	// replaced. Only it writes these tables.
	said
	// merged: programs change them, older ones too until they are replaced.
	merged
)

const flowGroup = "flows"

// groups has every table of the object but those that go with the programs. Tables that
// name each other's slots keep them, because entries are copied to where they were. A
// directory of a group that isn't here is refused as a later version's.
func groups() []group {
	all := []group{
		{flowGroup, 3, []string{
			object.DatapathMapFlows4, object.DatapathMapFlows6, object.DatapathMapRecent4, object.DatapathMapRecent6,
			object.DatapathMapPressures, object.DatapathMapFlowUses, object.DatapathMapFlowCorrections,
			object.DatapathMapShares, object.DatapathMapPortUses, object.DatapathMapNexthops,
		}, merged},
		{"endpoints", 2, []string{
			object.DatapathMapDevices, object.DatapathMapEndpoints, object.DatapathMapNetworks, object.DatapathMapEndpointMacs,
			object.DatapathMapEndpointAddrs, object.DatapathMapSubnets, object.DatapathMapTrustedDevices,
			object.DatapathMapHostAddrs, object.DatapathMapIccLinks,
		}, said},
		{"publications", 2, []string{object.DatapathMapPublishedPorts, object.DatapathMapPortBitmap}, said},
		{"services", 2, []string{object.DatapathMapRings, object.DatapathMapPools, object.DatapathMapAffinities, object.DatapathMapServiceSources, object.DatapathMapPoolSlots}, said},
		{"host", 1, []string{object.DatapathMapUplinks, object.DatapathMapHostState}, said},
		{"resolvers", 1, []string{object.DatapathMapResolvers}, said},
		{"sockets", 2, []string{object.DatapathMapSocketOrigins}, copied},
		{"attachments", 1, []string{object.DatapathMapAttachments}, said},
	}
	for _, name := range []string{
		object.DatapathMapPresented, object.DatapathMapLedSockets,
		object.DatapathMapFrags, object.DatapathMapBusyFrags, object.DatapathMapFragRates,
		object.DatapathMapParkedRows, object.DatapathMapParkedFrames, object.DatapathMapParkedLarges, object.DatapathMapParkRates,
		object.DatapathMapAnswerRates,
		object.DatapathMapSpareFrames, object.DatapathMapParkedCounts,
		object.DatapathMapHostTuples, object.DatapathMapHeardTuples, object.DatapathMapAnswerTuples,
		object.DatapathMapHostProtocols, object.DatapathMapHostListeners,
		object.DatapathMapDrops, object.DatapathMapVerdicts, object.DatapathMapEndpointStats,
		object.DatapathMapScratches, object.DatapathMapExpired, object.DatapathMapCarried,
	} {
		all = append(all, group{name, 1, []string{name}, anew})
	}
	return all
}

// allGroups is groups for an object, in which each table that isn't listed stands alone.
func allGroups(spec *ebpf.CollectionSpec) []group {
	all := groups()
	listed := make(map[string]bool)
	for _, g := range all {
		for _, t := range g.tables {
			listed[t] = true
		}
	}
	for name, ms := range spec.Maps {
		if !listed[name] && !goesWithPrograms(name, ms) {
			all = append(all, group{name, 1, []string{name}, anew})
		}
	}
	return all
}

// goesWithPrograms tells maps that are one load's: constants, such as .rodata, and arrays
// of programs.
func goesWithPrograms(name string, ms *ebpf.MapSpec) bool {
	return strings.HasPrefix(name, ".") || ms.Type == ebpf.ProgramArray
}

// sizedByFlows reports whether a map's size follows from that of the flow tables.
func sizedByFlows(name string) bool {
	switch name {
	case object.DatapathMapFlows4, object.DatapathMapFlows6, object.DatapathMapRecent4, object.DatapathMapRecent6,
		object.DatapathMapSocketOrigins:
		return true
	}
	return false
}

// hash is of the layout of all of the group's tables. Objects that have the same can
// share the tables.
func (g group) hash(layoutOf func(table string) layout) string {
	h := sha256.New()
	for _, t := range slices.Sorted(slices.Values(g.tables)) {
		layoutOf(t).write(h)
	}
	return hex.EncodeToString(h.Sum(nil))[:hashLength]
}

const hashLength = 16

// dirName is the name of the directory of a group's tables.
func (g group) dirName(hash string) string {
	return fmt.Sprintf("%s-%d-%s", g.name, g.revision, hash)
}

// splitDirName is the inverse of dirName. Before there were groups a directory had all
// tables, and was named by a hash alone.
func splitDirName(name string) (group string, revision int, ok bool) {
	parts := strings.Split(name, "-")
	if len(parts) != 3 || len(parts[2]) != hashLength {
		return "", 0, false
	}
	revision, err := strconv.Atoi(parts[1])
	return parts[0], revision, err == nil
}
