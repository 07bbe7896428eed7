// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// A docker-proxy beside the program would be found by the PATH of an engine that isn't
// Fairway's user. Only those that no PATH leads to are set up.
func TestProxyBeside(t *testing.T) {
	for below, want := range map[string]bool{
		"bin/lib/docker-proxy":     true,
		"lib/fairway/docker-proxy": true,
		"bin/docker-proxy":         false,
		"lib/docker-proxy":         false,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, below)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
		got, err := proxyBeside(filepath.Join(dir, "bin/fairway"))
		if want && (err != nil || got != path) || !want && err == nil {
			t.Errorf("%s: found %q, %v", below, got, err)
		}
	}
}

// What make builds and installs is where proxyBeside looks, and nowhere else.
func TestMakePutsProxyBeside(t *testing.T) {
	out, err := exec.Command("make", "-n", "-C", "../..", "build", "install", "DESTDIR=/d", "PREFIX=/p").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	made := regexp.MustCompile(`(?m)(?:-o |install .* )(\S*docker-proxy)\b`).FindAllSubmatch(out, -1)
	want := map[string]bool{"bin/lib/docker-proxy": true, "/d/p/lib/fairway/docker-proxy": true}
	for _, m := range made {
		if !want[string(m[1])] {
			t.Errorf("make puts %s there", m[1])
		}
		delete(want, string(m[1]))
	}
	if len(want) > 0 {
		t.Errorf("not made: %v; make says\n%s", want, out)
	}
}
