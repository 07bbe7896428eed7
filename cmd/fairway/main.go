// SPDX-License-Identifier: Apache-2.0

// Command fairway is the daemon and its command line.
package main

import (
	"context"
	"net/http"
	"os"

	"github.com/fairway-project/fairway/userspace/cli"
	"github.com/fairway-project/fairway/userspace/daemon"
	"github.com/fairway-project/fairway/userspace/engine"
	"github.com/fairway-project/fairway/userspace/metrics"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

func main() {
	// Processes of sandboxes begin as a second run of this program.
	sandbox.Init(os.Args)
	parts := daemon.Parts{
		Metrics: func(e *engine.Engine) http.Handler {
			return metrics.Handler(e, metrics.Info{Version: e.Version, Mode: e.Datapath.Mode()})
		},
	}
	os.Exit(cli.Main(cli.OSEnv(), cli.Programs{
		Daemon: func(ctx context.Context, c daemon.Config) error {
			return daemon.Run(ctx, c, parts)
		},
		Uninstall: daemon.Uninstall,
	}, os.Args[1:]))
}
