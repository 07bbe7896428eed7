// SPDX-License-Identifier: Apache-2.0

//go:build long

package prog

import (
	"testing"

	"github.com/fairway-project/fairway/bench/plan"
)

func TestLongEveryCase(t *testing.T) { everyCase(t, func(plan.Case) bool { return true }) }
