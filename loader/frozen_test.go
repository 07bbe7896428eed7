// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/fairway-project/fairway/maps/object"
)

// Before the layout of a group of tables changes, what it was is frozen: testdata has
// for each revision the types that the kernel keeps with the tables, one struct for each,
// of key and value. From an object of the version that has that revision:
//
//	git show COMMIT:maps/object/datapath_bpfel.o > /tmp/older.o
//	go test ./loader -run TestFrozenLayoutsConvert -freeze flows-0=/tmp/older.o
var freeze = flag.String("freeze", "", "write a group's layout to testdata: group-revision=object")

// revisions.txt has group, revision and the layout's hash of this version.
var record = flag.Bool("record", false, "record the present layouts of all groups in testdata/revisions.txt")

func writeFrozen(t *testing.T, what string) {
	t.Helper()
	name, from, _ := strings.Cut(what, "=")
	spec, err := ebpf.LoadCollectionSpec(from)
	if err != nil {
		t.Fatal(err)
	}
	var all btf.Builder
	for _, g := range groups() {
		if !strings.HasPrefix(name, g.name+"-") {
			continue
		}
		for _, table := range g.tables {
			m, ok := spec.Maps[table]
			if !ok || m.InnerMap != nil {
				continue // nothing is brought over of tables of tables
			}
			s := &btf.Struct{Name: table, Size: m.KeySize + m.ValueSize, Members: []btf.Member{
				{Name: "key", Type: m.Key}, {Name: "value", Type: m.Value, Offset: btf.Bits(m.KeySize) * 8},
			}}
			if _, err := all.Add(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	raw, err := all.Marshal(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(frozenFile(name), raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// testdata is in the binary: the guests of test-vm have nothing else.
//
//go:embed testdata
var testdata embed.FS

func frozenFile(name string) string { return filepath.Join("testdata", name+".btf") }

// frozen returns the tables of a revision as specs, for what they have in common with
// this version's.
func frozen(t *testing.T, name string) map[string]*ebpf.MapSpec {
	t.Helper()
	raw, err := testdata.ReadFile(frozenFile(name))
	if err != nil {
		t.Fatal(err)
	}
	types, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*ebpf.MapSpec)
	for table, ms := range spec.Maps {
		var s *btf.Struct
		if types.TypeByName(table, &s) != nil {
			continue
		}
		ms = ms.Copy()
		ms.Key, ms.Value = s.Members[0].Type, s.Members[1].Type
		ms.KeySize = uint32(s.Members[1].Offset.Bytes())
		ms.ValueSize = s.Size - ms.KeySize
		all[table] = ms
	}
	return all
}

// Every revision that was ever in use can be converted.
func TestFrozenLayoutsConvert(t *testing.T) {
	if *freeze != "" {
		writeFrozen(t, *freeze)
	}
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups() {
		for revision := range g.revision {
			name := fmt.Sprintf("%s-%d", g.name, revision)
			if g.bring == anew || g.name != flowGroup && revision == 0 {
				continue // the others' first revision is what they were before there were groups
			}
			for table, old := range frozen(t, name) {
				// What counts connections, and the ring of recent ones, follows from entering them.
				if g.bring == merged && table != object.DatapathMapFlows4 && table != object.DatapathMapFlows6 {
					continue
				}
				if _, err := convert(layoutOfSpec(table, old), layoutOfSpec(table, spec.Maps[table]), fillers(revision, whereabouts{}), g.bring == said); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

// Who changes a layout has to say so: an older version knows by the revision that it can't
// read the tables, and this one how to bring over what earlier revisions hold.
func TestRevisionsFollowLayouts(t *testing.T) {
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	s := &survey{spec: spec}
	var now strings.Builder
	for _, g := range groups() {
		if g.bring != anew {
			fmt.Fprintf(&now, "%s %d %s\n", g.name, g.revision, g.hash(s.wanted))
		}
	}
	file := filepath.Join("testdata", "revisions.txt")
	if *record {
		if err := os.WriteFile(file, []byte(now.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	recorded, err := testdata.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := now.String(); got != string(recorded) {
		t.Errorf("the layout of tables has changed. Freeze what it was (see frozen_test.go), raise the group's revision in group.go, "+
			"say in fill.go what new members are, and record the new one with -record.\nhave\n%s\nrecorded\n%s", got, recorded)
	}
}

// A table that is in no group is begun anew when it changes: nobody has thought about it.
func TestEveryTableHasItsGroup(t *testing.T) {
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	if listed, all := len(groups()), len(allGroups(spec)); listed != all {
		t.Errorf("%d groups are listed, and the object has tables for %d", listed, all)
	}
	for _, g := range groups() {
		for _, table := range g.tables {
			if spec.Maps[table] == nil {
				t.Errorf("group %s: the object has no table %s", g.name, table)
			}
		}
	}
}

// The layout of one table concerns its own group only.
func TestLayoutConcernsOneGroup(t *testing.T) {
	spec, err := object.LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	s := &survey{spec: spec}
	hashes := func() map[string]string {
		all := make(map[string]string)
		for _, g := range groups() {
			all[g.name] = g.hash(s.wanted)
		}
		return all
	}
	before := hashes()
	for _, g := range groups() {
		for _, table := range g.tables {
			ms := spec.Maps[table]
			ms.ValueSize += 8
			for name, hash := range hashes() {
				if changed := hash != before[name]; changed != (name == g.name) {
					t.Errorf("%s has another layout: group %s changed: %t", table, name, changed)
				}
			}
			ms.ValueSize -= 8
		}
	}
	spec.Maps[object.DatapathMapFlows4].MaxEntries *= 2
	if hashes()[flowGroup] != before[flowGroup] {
		t.Error("the number of connections that there is room for is part of the layout")
	}
}
