// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/request"
)

func newExec(a *app) *cobra.Command {
	var process processFlags
	cmd := &cobra.Command{
		Use:               "exec [OPTIONS] NAME -- COMMAND...",
		Short:             "Run a command in a sandbox that runs",
		ValidArgsFunction: a.firstSandbox(isRunning, cobra.ShellCompDirectiveDefault),
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	process.define(f)
	directories(cmd, "workdir")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		return atLeast("NAME", "COMMAND")(cmd, withoutDashes(args))
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		args = withoutDashes(args)
		req := request.Exec{Command: args[1:], Env: process.environment(a.env.LookupEnv), Workdir: process.workdir, TTY: process.tty}
		if err := req.Validate(); err != nil {
			return err
		}
		return a.foreground(cmd.Context(), process, func(ctx context.Context, files *request.Stdio) (*api.Attached, error) {
			return a.client().ExecAttached(ctx, args[0], req, files)
		})
	}
	return cmd
}

// withoutDashes drops the -- after NAME: the flags end at NAME, so that it
// comes through as an argument.
func withoutDashes(args []string) []string {
	if len(args) > 1 && args[1] == "--" {
		return append(args[:1:1], args[2:]...)
	}
	return args
}
