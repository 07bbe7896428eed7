// SPDX-License-Identifier: Apache-2.0

// Package demo has only tests: of the demo, and of the tour in README.
package demo

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/built"
)

// build makes the program for the tests.
func build(t *testing.T) string {
	t.Helper()
	bin, err := built.Program(built.EnvFairway, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// The demo checks each of its steps, and what it leaves behind.
func TestDemo(t *testing.T) {
	bin := build(t)
	for _, mode := range []string{"ebpf", "iptables"} {
		t.Run(mode, func(t *testing.T) {
			cmd := exec.Command("./run.sh")
			cmd.Env = append(os.Environ(), "DEMO_MODE="+mode, "DEMO_FAIRWAY="+bin)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if !strings.HasSuffix(strings.TrimSpace(string(out)), "nothing is left") {
				t.Errorf("the demo ends with something else:\n%s", out)
			}
		})
	}
}

var tour = regexp.MustCompile(`(?s)\n## A tour\n(.*?)\n## `)

// tourScript is the commands of README's tour, with the log in another place.
func tourScript(t *testing.T, log string) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	section := tour.FindSubmatch(readme)
	if section == nil {
		t.Fatal("README has no tour")
	}
	var script strings.Builder
	for line := range strings.Lines(string(section[1])) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			script.WriteString(strings.ReplaceAll(command, "/var/log/fairway.log", log))
		}
	}
	return script.String()
}

// The tour works as it stands, in directories and a namespace of its own.
func TestTourOfReadme(t *testing.T) {
	bin := build(t)
	dir, err := os.MkdirTemp("", "fwtour")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	name := "fwtour-" + rand.Text()[:8]
	ip(t, "netns", "add", name)
	t.Cleanup(func() { ip(t, "netns", "del", name) })
	ip(t, "-n", name, "link", "set", "lo", "up")
	ip(t, "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
	ip(t, "-n", name, "addr", "add", "192.0.2.1/24", "dev", "eth0")
	ip(t, "-n", name, "link", "set", "eth0", "up")

	cmd := exec.Command("nsenter", "--net=/run/netns/"+name, "bash", "-c", tourScript(t, dir+"/log"))
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"),
		"FAIRWAY_ROOT="+dir+"/root", "FAIRWAY_RUN_DIR="+dir+"/run", "FAIRWAY_BPFFS="+dir+"/bpf",
		"FAIRWAY_SOCKET="+dir+"/run/fairway.sock")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	const pages, refused = 4, 1
	if n := strings.Count(string(out), "The Regents of the University of California"); n != pages {
		t.Errorf("%d pages were fetched, want %d", n, pages)
	}
	if n := strings.Count(string(out), "curl: (28)"); n != refused {
		t.Errorf("%d requests timed out, want %d", n, refused)
	}
	for _, left := range []string{"root", "bpf"} {
		if _, err := os.Stat(filepath.Join(dir, left)); err == nil {
			t.Errorf("%s is left", left)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}
