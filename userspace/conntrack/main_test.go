// SPDX-License-Identifier: Apache-2.0

package conntrack

import (
	"os"
	"testing"

	"github.com/fairway-project/fairway/test/root"
)

func TestMain(m *testing.M) { os.Exit(root.Main(m)) }
