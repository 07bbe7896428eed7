// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
)

// checkRow is a check for a template.
type checkRow struct{ Name, Result, Fact, Fix string }

const checkColumns = "{{.Result}}\t{{.Name}}\t{{.Fact}}\t{{.Fix}}"

func newDoctor(a *app) *cobra.Command {
	var l listFlags
	var opts DaemonOptions
	cmd := &cobra.Command{
		Use:   "doctor [OPTIONS]",
		Short: "Check that this host has what Fairway needs",
		Long: "Check that this host has what Fairway needs. The daemon checks if it runs, else this command itself.\n\n" +
			"Exit code 0 if all is well, 1 for a warning, 2 for a failure.",
		Args: exactly(),
	}
	opts.define(cmd.Flags())
	l.defineFormat(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		opts.given(cmd.Flags())
		checks := a.check(cmd.Context(), opts)
		rows := make([]checkRow, 0, len(checks))
		for _, c := range checks {
			rows = append(rows, checkRow{c.Name, string(c.Result), c.Fact, c.Fix})
		}
		header := checkRow{"CHECK", "RESULT", "FACT", "FIX"}
		if err := printList(a.env.Stdout, l, header, checkColumns, "{{.Name}}", rows, checks); err != nil {
			return err
		}
		return verdict(checks)
	}
	return cmd
}

// check asks the daemon, and checks here if there is none.
func (a *app) check(ctx context.Context, opts DaemonOptions) []api.Check {
	checks, err := a.client().Doctor(ctx)
	if err == nil {
		return append([]api.Check{{Name: "daemon", Result: api.OK, Fact: "answers at " + a.socketPath()}}, checks...)
	}
	daemon := api.Check{Name: "daemon", Result: api.Fail, Fact: err.Error(), Fix: "fairway daemon"}
	if errors.Is(err, api.ErrUnreachable) {
		daemon.Result = api.Warn
		daemon.Fact = "not running: nothing answers at " + a.socketPath()
		if errors.Is(err, os.ErrPermission) {
			daemon.Fact = fmt.Sprintf("no permission for %s", a.socketPath())
			daemon.Fix = "sudo fairway doctor"
		}
	}
	return append([]api.Check{daemon}, a.programs.Doctor(ctx, opts)...)
}

func verdict(checks []api.Check) error {
	code := 0
	for _, c := range checks {
		switch c.Result {
		case api.Warn:
			code = max(code, 1)
		case api.Fail:
			code = max(code, 2)
		}
	}
	if code == 0 {
		return nil
	}
	return &exitCode{code: code}
}
