// SPDX-License-Identifier: Apache-2.0

//go:build long

package ebpf

import "testing"

func TestLongRandomServices(t *testing.T) { randomServices(t, "150") }
