// SPDX-License-Identifier: Apache-2.0

// Command fairway is the daemon and its command line.
package main

import (
	"context"
	"net/http"
	"os"

	"github.com/fairway-project/fairway/userspace/cli"
	"github.com/fairway-project/fairway/userspace/daemon"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/docker/setup"
	"github.com/fairway-project/fairway/userspace/doctor"
	"github.com/fairway-project/fairway/userspace/engine"
	"github.com/fairway-project/fairway/userspace/metrics"
	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

func main() {
	// Processes of sandboxes begin as a second run of this program.
	sandbox.Init(os.Args)
	os.Exit(cli.Main(cli.OSEnv(), cli.Programs{
		Daemon:    run,
		Doctor:    examine,
		Uninstall: daemon.Uninstall,
	}, os.Args[1:]))
}

func run(ctx context.Context, c daemon.Config, again func() (daemon.Config, error)) error {
	return daemon.Run(ctx, c, daemon.Parts{
		Metrics: func(e *engine.Engine) http.Handler {
			return metrics.Handler(e, metrics.Info{Version: e.Version, Mode: e.Datapath.Mode()})
		},
		Doctor: examine,
		Again:  again,
	})
}

func examine(ctx context.Context, c daemon.Config) ([]request.Check, error) {
	checks, err := doctor.Run(ctx, doctor.Options{
		Mode: c.Datapath, Netfilter: datapath.Netfilter(c.Netfilter), RunDir: c.RunDir, BPFFS: c.BPFFS, Uplinks: c.Uplinks, FlowTableSize: c.FlowTableSize,
	})
	if err != nil || c.Docker == "" {
		return checks, err
	}
	engine, err := setup.Check(ctx, setup.Options{Netfilter: datapath.Netfilter(c.Netfilter)})
	return append(checks, engine...), err
}
