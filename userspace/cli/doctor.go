// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/daemon"
	"github.com/fairway-project/fairway/userspace/request"
)

// checkRow is a check for a template.
type checkRow struct{ Name, Result, Fact, Fix string }

const checkColumns = "{{.Result}}\t{{.Name}}\t{{.Fact}}\t{{.Fix}}"

func newDoctor(a *app) *cobra.Command {
	var l listFlags
	var flags daemonFlags
	cmd := &cobra.Command{
		Use:   "doctor [OPTIONS]",
		Short: "Check that this host has what Fairway needs",
		Long: "Check that this host has what Fairway needs. The daemon checks if it runs, else this command itself.\n\n" +
			"Exit code 0 if all is well, 1 for a warning, 2 for a failure.",
		Args: exactly(),
	}
	flags.define(cmd)
	l.defineFormat(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config, err := flags.config(a.env.Getenv)
		if err != nil {
			return err
		}
		checks, err := a.check(cmd.Context(), a.socketOf(cmd, config), config)
		if err != nil {
			return err
		}
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

// check asks the daemon at socket, and checks here if there is none.
func (a *app) check(ctx context.Context, socket string, config daemon.Config) ([]request.Check, error) {
	checks, err := a.clientOf(socket).Doctor(ctx)
	if err == nil {
		answers := request.Check{Name: "daemon", Result: request.OK, Fact: "answers at " + socket}
		return append([]request.Check{answers}, checks...), nil
	}
	if a.programs.Doctor == nil {
		return []request.Check{silence(socket, err)}, nil
	}
	local, lerr := a.programs.Doctor(ctx, config)
	return append([]request.Check{silence(socket, err)}, local...), lerr
}

// silence is the check that says why the daemon didn't answer.
func silence(socket string, err error) request.Check {
	switch {
	case errors.Is(err, os.ErrPermission):
		return request.Check{Name: "daemon", Result: request.Warn, Fact: "no permission for " + socket, Fix: "sudo fairway doctor"}
	case errors.Is(err, api.ErrUnreachable):
		return request.Check{Name: "daemon", Result: request.Warn, Fact: "not running: nothing answers at " + socket, Fix: "fairway daemon"}
	}
	return request.Check{Name: "daemon", Result: request.Fail, Fact: err.Error(), Fix: "journalctl -u fairway"}
}

func verdict(checks []request.Check) error {
	code := 0
	for _, c := range checks {
		switch c.Result {
		case request.Warn:
			code = max(code, 1)
		case request.Fail:
			code = max(code, 2)
		}
	}
	if code == 0 {
		return nil
	}
	return &exitCode{code: code}
}
