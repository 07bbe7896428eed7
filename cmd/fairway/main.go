// SPDX-License-Identifier: Apache-2.0

// Command fairway is the daemon and its command line.
package main

import (
	"context"
	"os"

	"github.com/fairway-project/fairway/userspace/cli"
	"github.com/fairway-project/fairway/userspace/daemon"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

func main() {
	// Processes in sandboxes begin as a second run of this program.
	sandbox.Init(os.Args)
	os.Exit(cli.Main(cli.OSEnv(), programs(), os.Args[1:]))
}

func programs() cli.Programs {
	parts := daemon.Parts{}
	return cli.Programs{
		Daemon: func(ctx context.Context, o cli.DaemonOptions) error {
			c, err := config(o)
			if err != nil {
				return err
			}
			return daemon.Run(ctx, c, parts)
		},
	}
}
