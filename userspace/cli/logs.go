// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/request"
)

// exitInterrupted is a shell's code for what Ctrl-C ended.
const exitInterrupted = 130

func newLogs(a *app) *cobra.Command {
	req := request.Logs{Tail: -1}
	cmd := &cobra.Command{
		Use:   "logs [OPTIONS] NAME",
		Short: "Show what a sandbox in the background has written",
		Long: "Show what a sandbox in the background (run -d) has written: standard output and error together, as it came.\n" +
			"What runs in the foreground has no log, nor has an exec.",
		Args:              exactly("NAME"),
		ValidArgsFunction: a.firstSandbox(mayHaveLog, noFiles),
	}
	f := cmd.Flags()
	f.BoolVarP(&req.Follow, "follow", "f", false, "go on with what it writes until it ends")
	f.VarP(&value[int]{kind: "N", text: "all", parse: api.ParseTail, set: func(n int) { req.Tail = n }},
		"tail", "n", "only the last N lines")
	choices(cmd, "tail", "all", "10", "100")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		log, err := a.client().Logs(cmd.Context(), args[0], req)
		if err != nil {
			return err
		}
		defer log.Close()
		_, err = io.Copy(a.env.Stdout, log)
		if cmd.Context().Err() != nil {
			return &exitCode{code: exitInterrupted}
		}
		return err
	}
	return cmd
}
