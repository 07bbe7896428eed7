// SPDX-License-Identifier: Apache-2.0

// Package built has the programs that tests start. A run of many packages builds them once,
// before it begins (build/test-report), and names them in the environment; a package that is
// tested alone builds its own.
package built

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Environment variables that hold where programs are.
const (
	// EnvFairway is the fairway binary under test.
	EnvFairway = "FAIRWAY_BIN"
	// EnvBench is the benchmark.
	EnvBench = "FAIRWAY_BENCH_BIN"
	// EnvPeer is the helper that sandboxes run.
	EnvPeer = "FAIRWAY_E2E_PEER"
)

// packageOf returns the import path of a program.
func packageOf(env string) string {
	const module = "github.com/fairway-project/fairway/"
	switch env {
	case EnvBench:
		return module + "cmd/fairway-bench"
	case EnvPeer:
		return module + "test/cmd/e2e-peer"
	}
	return module + "cmd/fairway"
}

// Program returns the path of a program, which is built into dir if the environment names
// none. A relative path is one to the working directory.
func Program(env, dir string) (string, error) {
	if path := os.Getenv(env); path != "" {
		return filepath.Abs(path)
	}
	pkg := packageOf(env)
	path := filepath.Join(dir, filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}
