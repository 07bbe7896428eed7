// SPDX-License-Identifier: Apache-2.0

//go:build long

package engine

import "testing"

func TestLongRandomEdits(t *testing.T) { randomEdits(t, "200") }
