// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/request"
)

func newSandbox(a *app) *cobra.Command {
	cmd := group(&cobra.Command{Use: "sandbox", Short: "Sandboxes around namespaces that exist"})
	cmd.AddCommand(newSandboxAdd(a))
	return cmd
}

func newSandboxAdd(a *app) *cobra.Command {
	var flags sandboxFlags
	var netns string
	cmd := &cobra.Command{
		Use:   "add [OPTIONS] NAME --netns PATH",
		Short: "Adopt a network namespace: ip netns's, a VM's, another runtime's",
		Long: "Adopt a network namespace: ip netns's, a VM's, another runtime's.\n\n" +
			"The sandbox ends with the namespace, and so at every reboot: what is at the same path afterwards may be another's.\n" +
			"Whatever makes the namespace has to add it again: fairway rm NAME, then fairway sandbox add NAME.",
		Args: exactly("NAME"),
	}
	cmd.Flags().StringVar(&netns, "netns", "", "path of the namespace: /run/netns/NAME, /proc/PID/ns/net")
	flags.define(cmd.Flags())
	a.completeSandboxFlags(cmd)
	files(cmd, "netns")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if netns == "" {
			return usagef(cmd, "--netns is missing")
		}
		config, err := flags.result()
		if err != nil {
			return err
		}
		config.Name = args[0]
		req := request.Add{SandboxConfig: config, Netns: netns}
		if err := req.Validate(); err != nil {
			return err
		}
		started, err := a.client().Add(cmd.Context(), req)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.env.Stdout, started.ID)
		return nil
	}
	return cmd
}

func newStop(a *app) *cobra.Command {
	var req request.Stop
	timeout := 10
	cmd := &cobra.Command{
		Use:               "stop [OPTIONS] NAME...",
		Short:             "Stop sandboxes: SIGTERM, then SIGKILL",
		Args:              atLeast("NAME"),
		ValidArgsFunction: a.eachSandbox(hasProcess),
	}
	cmd.Flags().IntVarP(&timeout, "timeout", "t", timeout, "seconds until SIGKILL; -1 for never")
	cmd.Flags().StringVarP(&req.Signal, "signal", "s", "", "signal to send first (default TERM)")
	choices(cmd, "signal", "TERM", "INT", "QUIT", "HUP", "KILL", "USR1", "USR2")
	cmd.RunE = a.forEach(func(ctx context.Context, client *api.Client, name string) (string, error) {
		req.Timeout = &timeout
		return name, client.Stop(ctx, name, req)
	})
	return cmd
}

func newWait(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "wait NAME...",
		Short:             "Wait until sandboxes end, and print their exit codes",
		Args:              atLeast("NAME"),
		ValidArgsFunction: a.eachSandbox(hasProcess),
		RunE: a.forEach(func(ctx context.Context, client *api.Client, name string) (string, error) {
			code, err := client.Wait(ctx, name)
			return strconv.Itoa(code), err
		}),
	}
}

func newRm(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:     "rm [OPTIONS] NAME...",
		Aliases: []string{"remove"},
		Short:   "Remove sandboxes; an adopted namespace stays",
		Args:    atLeast("NAME"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			want := isRemovable
			if force {
				want = anySandbox
			}
			return a.eachSandbox(want)(cmd, args, word)
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "also those that run; no error for one that doesn't exist")
	cmd.RunE = a.forEach(func(ctx context.Context, client *api.Client, name string) (string, error) {
		return removed(name, force, client.Remove(ctx, name, force))
	})
	return cmd
}
