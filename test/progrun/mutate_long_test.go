// SPDX-License-Identifier: Apache-2.0

//go:build long

package progrun

import "testing"

func TestLongMutatedPackets(t *testing.T) { mutatedPackets(t, 1_000_000) }
