// SPDX-License-Identifier: Apache-2.0

package floors

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/fairway-project/fairway/"

// rule says what packages may not import. Each name stands for a package of this module
// and all below it.
type rule struct {
	why  string
	of   []string
	not  []string
	but  []string // of those, what they may import all the same
	free []string // packages of those that may import all
}

var rules = []rule{
	{
		why:  "what runs on a host with containers has nothing of benchmarks and tests",
		of:   []string{"cmd", "userspace", "loader", "maps"},
		not:  []string{"bench", "test"},
		free: []string{"cmd/fairway-bench"},
	},
	{
		why: "loader and maps stand on the ground: they know nothing of who uses them",
		of:  []string{"loader", "maps"},
		not: []string{"userspace"},
		but: []string{"userspace/model", "userspace/netns", "userspace/nl"},
	},
	{
		why: "the ground knows nothing of what stands on it",
		of:  []string{"userspace/link", "userspace/model", "userspace/netns", "userspace/nl", "userspace/pace"},
		not: []string{"cmd", "userspace", "loader", "maps"},
		but: []string{"userspace/model", "userspace/netns", "userspace/nl", "userspace/pace"},
	},
	{
		why: "a datapath is told what is wanted: it asks nobody",
		of:  []string{"userspace/datapath"},
		not: []string{"userspace/api", "userspace/cli", "userspace/daemon", "userspace/docker", "userspace/engine", "userspace/process", "userspace/sandbox", "userspace/store"},
	},
	{
		why: "who says what is wanted needs nobody who runs processes",
		of:  []string{"userspace/docker", "userspace/driver", "userspace/engine", "userspace/link", "userspace/store", "userspace/wanted"},
		not: []string{"userspace/process"},
	},
	{
		why: "an owner knows no transport, and no datapath that it could tell anything itself",
		of:  []string{"userspace/docker", "userspace/engine", "userspace/policy", "userspace/request", "userspace/wanted"},
		not: []string{"userspace/api", "userspace/cli", "userspace/daemon", "userspace/datapath/ebpf", "userspace/datapath/iptables"},
	},
	{
		why: "what is wanted is held without knowing who wants it",
		of:  []string{"userspace/wanted"},
		not: []string{"userspace/docker", "userspace/engine", "userspace/store"},
	},
	{
		why: "policy is pure: it knows the model and what a datapath is told",
		of:  []string{"userspace/policy"},
		not: []string{"userspace"},
		but: []string{"userspace/datapath", "userspace/model"},
	},
	{
		why: "the core knows nothing of its doors",
		of: []string{
			"userspace/engine", "userspace/wanted", "userspace/policy", "userspace/driver", "userspace/request", "userspace/process", "userspace/sandbox",
			"userspace/store", "userspace/dns", "userspace/ipam", "userspace/ports",
		},
		not: []string{"userspace/api", "userspace/cli", "userspace/daemon", "userspace/docker"},
	},
	{
		why: "a driver makes what it is told to: it asks nobody",
		of:  []string{"userspace/driver"},
		not: []string{"userspace/engine", "userspace/wanted", "userspace/sandbox", "userspace/store", "userspace/request"},
	},
	{
		why: "who keeps networks knows of drivers what they have in common; Docker's own networks are bridges",
		of:  []string{"userspace/engine", "userspace/wanted", "userspace/policy", "userspace/api", "userspace/cli", "userspace/datapath", "userspace/link"},
		not: []string{"userspace/driver/bridge", "userspace/driver/host", "userspace/driver/none"},
	},
}

func TestFloors(t *testing.T) {
	house := imports(t, "./...")
	for _, r := range rules {
		matched := false
		for from, targets := range house {
			if !within(from, r.of) || within(from, r.free) {
				continue
			}
			matched = true
			for _, to := range targets {
				if within(to, r.not) && !within(to, r.but) {
					t.Errorf("%s imports %s: %s", from, to, r.why)
				}
			}
		}
		if !matched {
			t.Errorf("no package is in %v: %s", r.of, r.why)
		}
	}
}

// The daemon's binary links nothing that only tests need, by whatever way.
func TestBinary(t *testing.T) {
	all := imports(t, "-deps", "./cmd/fairway")
	if _, ok := all["userspace/daemon"]; !ok {
		t.Fatal("cmd/fairway doesn't link the daemon")
	}
	for path := range all {
		ours := within(path, []string{"cmd", "userspace", "loader", "maps"})
		if path == "testing" || ours && strings.HasSuffix(path, "test") || strings.HasPrefix(path, "github.com/gopacket/") {
			t.Errorf("cmd/fairway links %s", path)
		}
	}
}

// imports returns what each of these packages imports, tests aside; those of this module
// without its name.
func imports(t *testing.T, packages ...string) map[string][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Imports"}, packages...)...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	all := make(map[string][]string)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		for i := range p.Imports {
			p.Imports[i] = strings.TrimPrefix(p.Imports[i], module)
		}
		all[strings.TrimPrefix(p.ImportPath, module)] = p.Imports
	}
}

func within(path string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return path == root || strings.HasPrefix(path, root+"/") })
}
