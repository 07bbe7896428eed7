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
