// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/test/root"
)

func TestGather(t *testing.T) {
	root.Need(t)
	m, err := Gather()
	if err != nil {
		t.Fatal(err)
	}
	have := make(map[string]string)
	for _, f := range append(append(m.System, m.Versions...), m.Offloads...) {
		if f.Value == "" || strings.Contains(f.Value, "\n") {
			t.Errorf("%s: %q", f.Name, f.Value)
		}
		have[f.Name] = f.Value
	}
	for _, name := range []string{"kernel", "cpus", "memory", "load", "cgroup", "go", "kernel.bpf_stats_enabled", "generic-segmentation-offload"} {
		if have[name] == "" {
			t.Errorf("%s: not known", name)
		}
	}
	if len(m.Maps) < 10 {
		t.Errorf("%d maps", len(m.Maps))
	}
}

func TestMitigationsOfWhatTheCPUHas(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"meltdown": "Not affected\n", "retbleed": "Mitigation: Enhanced IBRS\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]Fact{{"retbleed", "Mitigation: Enhanced IBRS"}}, mitigations(dir)); diff != "" {
		t.Error(diff)
	}
}

func TestParse(t *testing.T) {
	if got := cpuModel("processor\t: 0\nmodel name\t: A: B\nmodel name\t: C\n"); got != "A: B" {
		t.Errorf("cpu %q", got)
	}
	if got := parameters("root=/dev/sda mitigations=auto quiet nosmt secret=1"); got != "mitigations=auto nosmt" {
		t.Errorf("parameters %q", got)
	}
	if got := cgroup("2:cpu:/\n0::/\n"); got != "v1 and v2" {
		t.Errorf("cgroup %q", got)
	}
	if got := memory("MemFree: 1 kB\nMemTotal:    2097152 kB\n"); got != "2048 MiB" {
		t.Errorf("memory %q", got)
	}
	got := parseOffloads("Features for veth:\nrx-checksumming: on\n\ttx-checksum-ipv4: off [fixed]\ngeneric-receive-offload: off\n")
	if diff := cmp.Diff([]Fact{{"rx-checksumming", "on"}, {"generic-receive-offload", "off"}}, got); diff != "" {
		t.Error(diff)
	}
}
