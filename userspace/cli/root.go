// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/request"
)

// Main runs one command line, which SIGINT and SIGTERM end, and returns the exit code.
func Main(env Env, programs Programs, args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return Run(ctx, env, programs, args)
}

// Run is Main until ctx ends. It may be called several times, also at once.
func Run(ctx context.Context, env Env, programs Programs, args []string) int {
	a := &app{env: env, programs: programs, args: args}
	defer a.close()
	root := newRoot(a)
	root.SetArgs(args)
	return report(env.Stderr, root.ExecuteContext(ctx))
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "fairway",
		Short: "Container networks over eBPF",
		Long: "Container networks over eBPF, in Docker's words.\n\n" +
			"Nouns by themselves (network ls, flow ls, ps, status) only read; verbs change something.\n\n" + exitCodes,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       versionLine(request.BuildVersion()),
	}
	group(root)
	root.SetVersionTemplate("fairway {{.Version}}\n")
	root.SetIn(a.env.Stdin)
	root.SetOut(a.env.Stdout)
	root.SetErr(a.env.Stderr)
	root.SetFlagErrorFunc(a.flagError)
	root.PersistentFlags().StringVar(&a.socket, "socket", "",
		"daemon's socket (default $FAIRWAY_SOCKET, then "+api.DefaultSocket+")")
	files(root, "socket", "sock")
	root.CompletionOptions.SetDefaultShellCompDirective(noFiles)
	root.AddCommand(
		newDaemon(a), newNetwork(a), newService(a), newRun(a), newSandbox(a),
		newPs(a), newInspect(a), newExec(a), newPort(a), newPorts(a), newLogs(a), newStop(a), newWait(a), newRm(a),
		newFlow(a), newDocker(a), newStatus(a), newDoctor(a), newVersion(a), newUninstall(a), newBench(a),
	)
	plainUsage(root)
	return root
}

// plainUsage keeps cobra from adding [flags] to usage lines, which say
// [OPTIONS] where there are any.
func plainUsage(cmd *cobra.Command) {
	cmd.DisableFlagsInUseLine = true
	for _, sub := range cmd.Commands() {
		plainUsage(sub)
	}
}

// group makes cmd a command that only has subcommands: alone it shows its
// help, with an unknown word it is an error.
func group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return cmd.Help()
	}
	return cmd
}

// exactly, atLeast and between are cobra's checks with usage errors.
func exactly(names ...string) cobra.PositionalArgs { return between(len(names), names...) }

func atLeast(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return usagef(cmd, "%s is missing", names[len(args)])
		}
		return checkNames(cmd, names, args)
	}
}

// checkNames refuses what nothing can be called and no path of the API can hold;
// the last of names stands for all further arguments, and a command may be anything.
func checkNames(cmd *cobra.Command, names, args []string) error {
	for i, arg := range args {
		name := names[min(i, len(names)-1)]
		if name == "COMMAND" {
			break
		}
		if arg == "" || arg == "." || arg == ".." {
			return usagef(cmd, "%s %q is not a name", name, arg)
		}
	}
	return nil
}

// between takes at least least of the named arguments and at most all of them.
func between(least int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return usagef(cmd, "%s is missing", names[len(args)])
		}
		if len(args) > len(names) {
			return usagef(cmd, "%q is one argument too many", args[len(names)])
		}
		return checkNames(cmd, names, args)
	}
}
