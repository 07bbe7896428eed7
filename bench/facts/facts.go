// SPDX-License-Identifier: Apache-2.0

// Package facts tells what machine a benchmark ran on, as far as it can change
// the figures.
package facts

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/maps/object"
	"github.com/fairway-project/fairway/userspace/request"
)

// Fact is a name and what is there. What isn't known has no fact.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Machine is everything that is known. Names are stable: reports are compared.
type Machine struct {
	System   []Fact `json:"system"`
	Versions []Fact `json:"versions"`
	// Mitigations of the CPU's faults, of those that it has.
	Mitigations []Fact `json:"mitigations"`
	// Offloads of a veth pair as the kernel makes it.
	Offloads []Fact `json:"offloads"`
	// Maps has the sizes that the datapath's maps are loaded with by default.
	Maps []Map `json:"maps"`
}

// Map is a table of the datapath.
type Map struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	MaxEntries uint32 `json:"max_entries"`
}

// Gather reads the machine's facts. Commands that aren't installed are no error.
func Gather() (Machine, error) {
	sizes, err := mapSizes()
	return Machine{
		System: system(), Versions: versions(), Mitigations: mitigations("/sys/devices/system/cpu/vulnerabilities"),
		Offloads: offloads(), Maps: sizes,
	}, err
}

// known leaves out facts without a value.
func known(facts ...Fact) []Fact {
	return slices.DeleteFunc(facts, func(f Fact) bool { return f.Value == "" })
}

func versions() []Fact {
	v := request.BuildVersion()
	return known(
		Fact{"fairway", strings.TrimSpace(v.Version + " " + v.Commit)},
		Fact{"go", runtime.Version()},
		Fact{"iptables", firstLine("iptables", "--version")},
		Fact{"iptables-legacy", firstLine("iptables-legacy", "--version")},
		Fact{"nft", firstLine("nft", "--version")},
		Fact{"dockerd", firstLine("dockerd", "--version")},
	)
}

func firstLine(command string, args ...string) string {
	out, err := exec.Command(command, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// mitigations reads the kernel's list (Documentation/ABI/testing/sysfs-devices-system-cpu).
func mitigations(dir string) []Fact {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var all []Fact
	for _, n := range names {
		if text := content(filepath.Join(dir, n.Name())); text != "Not affected" {
			all = append(all, Fact{n.Name(), text})
		}
	}
	return known(all...)
}

// content of a file of one line, "" if it can't be read.
func content(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func mapSizes() ([]Map, error) {
	spec, err := object.LoadDatapath()
	if err != nil {
		return nil, err
	}
	var all []Map
	for name, m := range spec.Maps {
		if !strings.HasPrefix(name, ".") {
			all = append(all, Map{name, m.Type.String(), m.MaxEntries})
		}
	}
	slices.SortFunc(all, func(a, b Map) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func uname() (release, version, machine string) {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "", "", ""
	}
	return unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:]), unix.ByteSliceToString(u.Machine[:])
}
