// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/request"
)

// Without root doctor says what it could see, and that the rest takes root.
func TestUnprivileged(t *testing.T) {
	const child = "FAIRWAY_TEST_UNPRIVILEGED"
	if os.Getenv(child) != "" {
		checks, err := Run(t.Context(), Options{Mode: datapath.EBPF, RunDir: "/nowhere", BPFFS: "/sys/fs/bpf/nowhere"})
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewEncoder(os.NewFile(3, "answer")).Encode(checks); err != nil {
			t.Fatal(err)
		}
		return
	}
	answer, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Close()
	cmd := exec.CommandContext(t.Context(), "setpriv", "--bounding-set=-all", "--inh-caps=-all", os.Args[0], "-test.run=^TestUnprivileged$")
	cmd.Env, cmd.ExtraFiles = append(os.Environ(), child+"=1"), []*os.File{in}
	out, err := cmd.CombinedOutput()
	in.Close()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var checks []request.Check
	if err := json.NewDecoder(answer).Decode(&checks); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]request.Check{
		"privileges": {Result: request.Fail, Fact: "this process has no CAP_NET_ADMIN, CAP_BPF, CAP_SYS_ADMIN", Fix: "sudo fairway doctor"},
		"host":       {Result: request.Warn, Fact: "not checked without root: the kernel's features, devices, the firewall, settings and what a daemon left", Fix: "sudo fairway doctor"},
	} {
		want.Name = name
		if !slices.Contains(checks, want) {
			t.Errorf("no %+v among %+v", want, checks)
		}
	}
}
