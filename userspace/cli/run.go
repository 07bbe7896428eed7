// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// processFlags are what run and exec have in common.
type processFlags struct {
	env              []string
	workdir          string
	interactive, tty bool
}

func (p *processFlags) define(f *pflag.FlagSet) {
	words(f, &p.env, "env", "e", "KEY[=VALUE]", "environment variable; without a value the one of this shell")
	f.StringVarP(&p.workdir, "workdir", "w", "", "working directory (default /)")
	f.BoolVarP(&p.interactive, "interactive", "i", false, "standard input is the command's, as without -t anyway")
	f.BoolVarP(&p.tty, "tty", "t", false, "give the command a terminal; -it to type into it")
}

// environment fills in the values of variables that were named only; one that
// isn't set is left out, as Docker does. With a terminal it says which kind.
func (p *processFlags) environment(lookup func(string) (string, bool)) []string {
	var env []string
	for _, e := range p.env {
		if strings.Contains(e, "=") {
			env = append(env, e)
		} else if val, set := lookup(e); set {
			env = append(env, e+"="+val)
		}
	}
	given := slices.ContainsFunc(p.env, func(e string) bool { return e == "TERM" || strings.HasPrefix(e, "TERM=") })
	if p.tty && !given {
		term, _ := lookup("TERM")
		env = append(env, "TERM="+cmp.Or(term, "xterm"))
	}
	return env
}

func newRun(a *app) *cobra.Command {
	var flags sandboxFlags
	var process processFlags
	var detach, rm bool
	cmd := &cobra.Command{
		Use:               "run [OPTIONS] -- COMMAND...",
		Short:             "Run a command in a new sandbox",
		Args:              atLeast("COMMAND"),
		ValidArgsFunction: completeCommand,
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVar(&flags.config.Name, "name", "", "name of the sandbox")
	f.BoolVarP(&detach, "detach", "d", false, "in the background; print the sandbox's ID")
	f.BoolVar(&rm, "rm", false, "remove the sandbox when the command ends")
	flags.define(f)
	process.define(f)
	a.completeSandboxFlags(cmd)
	directories(cmd, "workdir")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if detach && (process.interactive || process.tty) {
			return usagef(cmd, "-d goes without -i and -t: in the background there is no terminal and nothing to read, "+
				"and no attach later; \"fairway exec -it NAME -- sh\" opens a shell in the sandbox")
		}
		config, err := flags.result()
		if err != nil {
			return err
		}
		req := request.Run{
			SandboxConfig: config, Command: args, AutoRemove: rm, TTY: process.tty,
			Env: process.environment(a.env.LookupEnv), Workdir: process.workdir,
		}
		if err := req.Validate(); err != nil {
			return err
		}
		if mode, _, _, _ := config.NetworkMode(); mode == model.ModeHost && (len(config.Publish) > 0 || config.PublishAll) {
			fmt.Fprintln(a.env.Stderr, "WARNING: published ports are discarded on the host network")
		}
		if detach {
			return a.runDetached(cmd, req)
		}
		return a.foreground(cmd.Context(), process, func(ctx context.Context, files *request.Stdio) (*api.Attached, error) {
			return a.client().RunAttached(ctx, req, files)
		})
	}
	return cmd
}

func (a *app) runDetached(cmd *cobra.Command, req request.Run) error {
	started, err := a.client().Run(cmd.Context(), req)
	if err != nil {
		return processError(err)
	}
	fmt.Fprintln(a.env.Stdout, started.ID)
	return nil
}
