// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/fairway-project/fairway/test/partial"
)

// envEngines names the engines to test with, as in "20.10" or "20.10,26.1". Without it,
// they are tested with the newest; all and older are all that are there, and those but the
// newest.
const (
	envEngines  = "FAIRWAY_TEST_ENGINES"
	allEngines  = "all"
	olderEngine = "older"
)

// binaries are a Docker Engine's programs.
type binaries struct {
	// version is the major and minor one, as in 26.1.
	version string
	// dir is where dockerd, docker and containerd are; empty for the machine's own.
	dir string
}

// findEngines returns the engines to test with, of the machine's own and those that
// build/docker-engine unpacked. One that is missing is an error.
func findEngines() (found []binaries, err error) {
	all, err := installedEngines()
	if err != nil {
		return nil, err
	}
	newest := newestOf(all)
	list := os.Getenv(envEngines)
	switch list {
	case allEngines:
		return all, nil
	case olderEngine:
		return slices.DeleteFunc(all, func(b binaries) bool { return b == newest }), nil
	case "":
		return []binaries{newest}, nil
	}
	names := strings.Split(list, ",")
	found = slices.DeleteFunc(all, func(b binaries) bool { return !slices.Contains(names, b.version) })
	if len(found) < len(names) {
		return nil, fmt.Errorf("engines %s: only %v are there: run make deps", list, found)
	}
	return found, nil
}

func newestOf(engines []binaries) binaries {
	return slices.MaxFunc(engines, func(a, b binaries) int {
		x, y := a.numbers(), b.numbers()
		return slices.Compare(x[:], y[:])
	})
}

func installedEngines() (found []binaries, err error) {
	unpacked, err := filepath.Glob("../../.cache/engines/*/bin")
	if err != nil {
		return nil, err
	}
	if slices.Contains([]string{"", allEngines, olderEngine}, os.Getenv(envEngines)) && len(unpacked) == 0 {
		return nil, fmt.Errorf("%w: the engine of Debian 13: run make deps-docker, or name those that are there in %s", fs.ErrNotExist, envEngines)
	}
	for _, dir := range append([]string{""}, unpacked...) {
		b, err := newBinaries(dir)
		if err != nil {
			return nil, fmt.Errorf("%w: run make deps", err)
		}
		// On Debian 13 the machine's own is the one that was unpacked.
		if !slices.ContainsFunc(found, func(f binaries) bool { return f.version == b.version }) {
			found = append(found, b)
		}
	}
	return found, nil
}

func newBinaries(dir string) (b binaries, err error) {
	if dir != "" {
		if b.dir, err = filepath.Abs(dir); err != nil {
			return b, err
		}
	}
	out, err := exec.Command(b.path("dockerd"), "--version").Output()
	if err != nil {
		return b, fmt.Errorf("dockerd: %w", err)
	}
	_, version, _ := strings.Cut(string(out), "version ")
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 3 {
		return b, fmt.Errorf("dockerd --version says %q", out)
	}
	b.version = parts[0] + "." + parts[1]
	return b, nil
}

// path is what to execute for a program of the engine's.
func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// env is the environment in which the engine finds its own programs.
func (b binaries) env() []string {
	if b.dir == "" {
		return os.Environ()
	}
	return append(os.Environ(), "PATH="+b.dir+":"+os.Getenv("PATH"))
}

// numbers are the version's.
func (b binaries) numbers() [2]int {
	var n [2]int
	_, _ = fmt.Sscanf(b.version, "%d.%d", &n[0], &n[1])
	return n
}

// atLeast reports whether the engine is of this version or newer.
func (b binaries) atLeast(major, minor int) bool {
	n := b.numbers()
	return slices.Compare(n[:], []int{major, minor}) >= 0
}

// eachEngine runs fn once per engine.
func eachEngine(t *testing.T, fn func(t *testing.T, b binaries)) {
	t.Helper()
	t.Parallel()
	found, err := findEngines()
	if err != nil {
		partial.Skip(t, err)
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skip("there is no older engine")
	}
	for _, b := range found {
		t.Run(b.version, func(t *testing.T) { fn(t, b) })
	}
}

// onEngines runs fn once per engine, each in a world of its own where neither daemon
// runs yet.
func onEngines(t *testing.T, fn func(t *testing.T, d *engine), opts ...harness.Option) {
	t.Helper()
	opts = append(opts, harness.OnlyMode(harness.EBPF), harness.NoDaemon())
	eachEngine(t, func(t *testing.T, b binaries) {
		harness.ForEach(t, func(t *testing.T, e *harness.Env) { fn(t, newEngine(t, e, b)) }, opts...)
	})
}
