// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
)

// completeTimeout keeps a Tab from hanging with the daemon.
const completeTimeout = 2 * time.Second

type completion = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// completeNetworks offers the networks that aren't on the line yet.
func (a *app) completeNetworks(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	list, err := a.client().Networks(ctx, nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, n := range list {
		if n.Owner == api.OwnerFairway && !slices.Contains(args, n.Name) {
			names = append(names, n.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeSandboxes offers the sandboxes that aren't on the line yet.
func (a *app) completeSandboxes(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	list, err := a.client().Sandboxes(ctx, true, nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, s := range list {
		if s.Owner == api.OwnerFairway && !slices.Contains(args, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeOneSandbox offers sandboxes for the first argument only.
func (a *app) completeOneSandbox(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return a.completeSandboxes(cmd, args, word)
}

func (a *app) completeNetworkThenSandbox(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var choose completion
	switch len(args) {
	case 0:
		choose = a.completeNetworks
	case 1:
		choose = a.completeSandboxes
	default:
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return choose(cmd, nil, word)
}

// choices completes a flag with fixed words.
func choices(cmd *cobra.Command, flag string, words ...cobra.Completion) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag is not defined: a mistake in this package
	}
}

// completeNetworkFlag completes --network.
func (a *app) completeNetworkFlag(cmd *cobra.Command) {
	err := cmd.RegisterFlagCompletionFunc("network", func(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.completeNetworks(cmd, nil, word)
	})
	if err != nil {
		panic(err) // as in choices
	}
}
