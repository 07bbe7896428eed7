// SPDX-License-Identifier: Apache-2.0

package step

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/fairway-project/fairway/userspace/cli"
	"github.com/fairway-project/fairway/userspace/daemon"
	"github.com/fairway-project/fairway/userspace/engine"
)

// role is the first argument of a daemon with the socket.
const role = "bench-step"

// Init turns the process into fairway, but for the daemon's additional socket, if a
// Program started it, and does not return then. Call it first thing in main and in
// TestMain.
func Init(args []string) {
	if len(args) < 2 || args[1] != role {
		return
	}
	os.Exit(cli.Main(cli.OSEnv(), cli.Programs{
		Daemon: func(ctx context.Context, c daemon.Config, _ func() (daemon.Config, error)) error {
			return daemon.Run(ctx, c, daemon.Parts{Metrics: serve})
		},
		Uninstall: daemon.Uninstall,
	}, args[2:]))
}

// Program writes a program into dir that is to be used as plan.Env.Fairway, with
// DaemonArgs.
func Program(dir string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "fairway-step")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' %s \"$@\"\n", self, role)
	return path, os.WriteFile(path, []byte(script), 0o755)
}

// DaemonArgs have the daemon make the part that the socket is in.
func DaemonArgs() []string { return []string{"--metrics", "127.0.0.1:0"} }

// serve opens the socket in the daemon's run directory. It stands where the metrics
// would be: the daemon makes them when everything else is up.
func serve(e *engine.Engine) http.Handler {
	if err := listen(socketPath(e.RunDir), e.Wanted.Datapath); err != nil {
		e.Log.Error("datapath's socket", "err", err)
	}
	return http.NotFoundHandler()
}

func socketPath(runDir string) string { return filepath.Join(runDir, "step.sock") }
