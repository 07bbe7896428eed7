// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"golang.org/x/tools/go/analysis/analysistest"
)

func TestAnalyzer(t *testing.T) {
	analysistest.Run(t, analysistest.TestData(), newAnalyzer(), "calls")
}
