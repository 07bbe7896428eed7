// SPDX-License-Identifier: Apache-2.0

// Package test is the end-to-end suite: what a user of the Docker network model
// expects on one host, over real sockets, in both datapath modes. Each file has
// one theme; the identifiers in the comments (NAT-03, SEC-10, ...) are those of
// docs/differences.md.
package test

import (
	"os"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
