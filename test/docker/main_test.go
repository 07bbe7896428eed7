// SPDX-License-Identifier: Apache-2.0

// Package docker is the end-to-end suite of an unmodified Docker Engine on Fairway:
// a real dockerd with real containers in a namespace of its own.
package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/fairway-project/fairway/test/partial"
)

// envProxy is the port shim under test; built from the tree if unset.
const envProxy = "FAIRWAY_DOCKER_PROXY"

func TestMain(m *testing.M) {
	if !partial.Needs("gcc", "tar") {
		return
	}
	dir, err := os.MkdirTemp("", "fwt-proxy-")
	if err == nil && os.Getenv(envProxy) == "" {
		err = buildProxy(filepath.Join(dir, "docker-proxy"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := harness.Main(m)
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func buildProxy(to string) error {
	if err := compileProxy(to); err != nil {
		return err
	}
	return os.Setenv(envProxy, to)
}
