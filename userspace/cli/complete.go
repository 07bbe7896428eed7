// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// completeTimeout keeps a Tab from hanging with the daemon.
const completeTimeout = 2 * time.Second

const (
	noFiles = cobra.ShellCompDirectiveNoFileComp
	// noSpace is for the first part of a word.
	noSpace = noFiles | cobra.ShellCompDirectiveNoSpace
)

type completion = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// own selects what Fairway made itself, which alone its commands change.
func own(more ...string) []string { return append(more, "owner="+string(model.OwnerFairway)) }

// networks returns the names of networks that want says yes to; none where the daemon
// doesn't answer soon.
func (a *app) networks(cmd *cobra.Command, filters []string, want func(api.NetworkSummary) bool) []cobra.Completion {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	list, _ := a.client().Networks(ctx, filters)
	var names []cobra.Completion
	for _, n := range list {
		if want(n) {
			names = append(names, n.Name)
		}
	}
	return names
}

// sandboxes is networks for sandboxes, those that have ended among them.
func (a *app) sandboxes(cmd *cobra.Command, filters []string, want func(api.SandboxSummary) bool) []cobra.Completion {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	list, _ := a.client().Sandboxes(ctx, true, filters)
	var names []cobra.Completion
	for _, s := range list {
		if want(s) {
			names = append(names, s.Name)
		}
	}
	return names
}

func isRunning(s api.SandboxSummary) bool { return s.Status == model.StatusRunning }

// hasProcess is what can be stopped and waited for: the processes of an adopted
// namespace are another program's.
func hasProcess(s api.SandboxSummary) bool { return isRunning(s) && !s.Adopted }

// isRemovable is what rm takes without force.
func isRemovable(s api.SandboxSummary) bool { return !hasProcess(s) }

// mayHaveLog is what a daemon started itself; whether in the background, it doesn't tell.
func mayHaveLog(s api.SandboxSummary) bool { return !s.Adopted }

func anySandbox(api.SandboxSummary) bool { return true }
func anyNetwork(api.NetworkSummary) bool { return true }

// eachSandbox offers sandboxes that want says yes to and that aren't on the line yet.
func (a *app) eachSandbox(want func(api.SandboxSummary) bool) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.sandboxes(cmd, own(), func(s api.SandboxSummary) bool { return want(s) && !slices.Contains(args, s.Name) }), noFiles
	}
}

// firstSandbox offers sandboxes for the first argument, and for others what then says.
func (a *app) firstSandbox(want func(api.SandboxSummary) bool, then cobra.ShellCompDirective) completion {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, then
		}
		return a.eachSandbox(want)(cmd, args, word)
	}
}

// completeNetworks offers all networks that aren't on the line yet.
func (a *app) completeNetworks(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.networks(cmd, own(), func(n api.NetworkSummary) bool { return !slices.Contains(args, n.Name) }), noFiles
}

// completeUnused offers networks that can be removed.
func (a *app) completeUnused(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.networks(cmd, own("type=custom"), func(n api.NetworkSummary) bool {
		return len(n.Sandboxes) == 0 && !slices.Contains(args, n.Name)
	}), noFiles
}

// completeInspected offers sandboxes, networks and services.
func (a *app) completeInspected(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	names, _ := a.eachSandbox(anySandbox)(cmd, args, word)
	more, _ := a.completeNetworks(cmd, args, word)
	services, _ := a.completeServices(nil)(cmd, args, word)
	return append(append(names, more...), services...), noFiles
}

// completeEdge offers a network and a sandbox that is on it, or isn't.
func (a *app) completeEdge(on bool) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		switch len(args) {
		case 0:
			return a.networks(cmd, own("driver=bridge"), func(n api.NetworkSummary) bool { return !on || len(n.Sandboxes) > 0 }), noFiles
		case 1:
			return a.sandboxes(cmd, own(), func(s api.SandboxSummary) bool {
				is := slices.ContainsFunc(s.Networks, func(at api.Attachment) bool { return at.Network == args[0] })
				return s.NetworkMode == model.ModeNetworks && isRunning(s) && is == on
			}), noFiles
		}
		return nil, noFiles
	}
}

// choices completes a flag with fixed words.
func choices(cmd *cobra.Command, flag string, words ...cobra.Completion) {
	completeFlag(cmd, flag, cobra.FixedCompletions(words, noFiles))
}

func completeFlag(cmd *cobra.Command, flag string, complete completion) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // the flag is not defined: a mistake in this package
	}
}

// directories and files complete flags with paths; a file has one of the endings.
func directories(cmd *cobra.Command, flags ...string) {
	for _, f := range flags {
		completeFlag(cmd, f, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		})
	}
}

func files(cmd *cobra.Command, flag string, endings ...cobra.Completion) {
	directive := cobra.ShellCompDirectiveDefault
	if len(endings) > 0 {
		directive = cobra.ShellCompDirectiveFilterFileExt
	}
	completeFlag(cmd, flag, cobra.FixedCompletions(endings, directive))
}

// completeSandboxFlags completes the flags of run and sandbox add.
func (a *app) completeSandboxFlags(cmd *cobra.Command) {
	network := func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		names := a.networks(cmd, own(), anyNetwork)
		owners := a.sandboxes(cmd, own(), func(s api.SandboxSummary) bool { return isRunning(s) && s.NetworkMode != model.ModeContainer })
		for _, s := range owners {
			names = append(names, "container:"+s)
		}
		return names, noFiles
	}
	completeFlag(cmd, "network", network)
	completeFlag(cmd, "net", network)
	completeFlag(cmd, "link", a.eachSandbox(isRunning))
	completeFlag(cmd, "add-host", func(_ *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		name, _, hasName := strings.Cut(word, ":")
		if !hasName {
			return nil, noSpace
		}
		return []cobra.Completion{name + ":" + request.HostGateway}, noFiles
	})
}

// completeFilter completes KEY=VALUE with the keys' values, and with names where they
// are what a key takes.
func (a *app) completeFilter(cmd *cobra.Command, keys []api.FilterKey) {
	completeFlag(cmd, "filter", func(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		name, _, hasValue := strings.Cut(word, "=")
		var all []cobra.Completion
		for _, k := range keys {
			if !hasValue {
				all = append(all, k.Name+"=")
				continue
			}
			if k.Name != name {
				continue
			}
			for _, v := range a.filterValues(cmd, k) {
				all = append(all, name+"="+v)
			}
		}
		if !hasValue {
			return all, noSpace
		}
		return all, noFiles
	})
}

func (a *app) filterValues(cmd *cobra.Command, k api.FilterKey) []cobra.Completion {
	switch k.Name {
	case "sandbox", "opener", "target", "backend":
		return a.sandboxes(cmd, nil, isRunning)
	case "network":
		return a.networks(cmd, nil, anyNetwork)
	case "name":
		switch {
		case cmd.HasParent() && cmd.Parent().Name() == "network":
			return a.networks(cmd, nil, anyNetwork)
		case cmd.HasParent() && cmd.Parent().Name() == "service" && cmd.Name() == "ls":
			return a.services(cmd, nil)
		}
		return a.sandboxes(cmd, nil, anySandbox)
	}
	return k.Values
}

// completeCommand leaves what stands after -- to the shell, once it is there.
func completeCommand(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, noFiles
	}
	return nil, cobra.ShellCompDirectiveDefault
}

// completeDevices offers the network devices of this namespace.
func completeDevices(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	all, _ := net.Interfaces()
	var names []cobra.Completion
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 {
			names = append(names, i.Name)
		}
	}
	return names, noFiles
}

// completeOptions offers Docker's options for bridge networks, with the values of
// those that have few.
func completeOptions(_ *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	yesNo := []cobra.Completion{"true", "false"}
	modes := []cobra.Completion{"nat", "nat-unprotected", "routed", "isolated"}
	values := map[string][]cobra.Completion{
		model.OptMasquerade: yesNo, model.OptICC: yesNo, model.OptInhibitIPv4: yesNo, model.OptEnableIPv4: yesNo, model.OptEnableIPv6: yesNo,
		model.OptGatewayMode4: modes, model.OptGatewayMode6: modes,
		model.OptBridgeName: nil, model.OptHostBinding: nil, model.OptTrusted: nil, model.OptHostIPv4: nil, model.OptHostIPv6: nil,
		model.OptMTU: nil, model.OptIfacePrefix: nil,
	}
	name, _, hasValue := strings.Cut(word, "=")
	var all []cobra.Completion
	if hasValue {
		for _, v := range values[name] {
			all = append(all, name+"="+v)
		}
		return all, noFiles
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		all = append(all, key+"=")
	}
	return all, noSpace
}
