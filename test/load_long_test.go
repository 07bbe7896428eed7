// SPDX-License-Identifier: Apache-2.0

//go:build long

package test

import (
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// NAT-26, in a range that iptables-restore takes half a minute for.
func TestLongPublishedLargeRange(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) { publishedRange(t, e, 2000) })
}

// NAT-23, with some hundred connections of each client.
func TestLongParallelConnections(t *testing.T) { parallelConnections(t, 300) }

// REL-04, at many more points.
func TestLongDaemonKilledAnywhere(t *testing.T) { killedAnywhere(t, 5) }

// SEC-21, with a hundred attachments in both modes.
func TestLongNothingPassesWhileAttaching(t *testing.T) { nothingPasses(t, 45) }
