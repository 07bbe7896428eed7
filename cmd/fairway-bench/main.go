// SPDX-License-Identifier: Apache-2.0

// Command fairway-bench measures Fairway beside other ways to carry the same traffic.
package main

import (
	"os"

	"github.com/fairway-project/fairway/bench/child"
	"github.com/fairway-project/fairway/bench/command"
	"github.com/fairway-project/fairway/bench/load"
	"github.com/fairway-project/fairway/bench/step"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

func main() {
	// The ends of a load, a daemon whose datapath can be told things directly, and the
	// processes of that daemon's sandboxes begin as a second run of this program.
	child.Init(os.Args, load.Role)
	step.Init(os.Args)
	sandbox.Init(os.Args)
	os.Exit(command.Main(os.Stdout, os.Stderr, os.Args[1:]))
}
