// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
)

// services is networks for services.
func (a *app) services(cmd *cobra.Command, filters []string) []cobra.Completion {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	list, _ := a.client().Services(ctx, filters)
	var names []cobra.Completion
	for _, s := range list {
		names = append(names, s.Name)
	}
	return names
}

// completeServices offers services that aren't on the line yet.
func (a *app) completeServices(filters []string) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return slices.DeleteFunc(a.services(cmd, filters), func(name string) bool { return slices.Contains(args, name) }), noFiles
	}
}

// firstService offers services for the first argument.
func (a *app) firstService(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return a.services(cmd, nil), noFiles
}

// completeDrain offers a service, and its backends that aren't on the line yet: those
// that can be drained, or with undo those that are.
func (a *app) completeDrain(undo *bool) completion {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return a.services(cmd, own()), noFiles
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
		defer cancel()
		list, _ := a.client().ServiceBackends(ctx, args[0], nil)
		var names []cobra.Completion
		for _, b := range list {
			if name := backendName(b); (b.State == model.BackendDraining) == *undo && !slices.Contains(args[1:], name) {
				names = append(names, name)
			}
		}
		return names, noFiles
	}
}

// completeNetworkList completes names with commas between.
func (a *app) completeNetworkList(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	before := word[:strings.LastIndexByte(word, ',')+1]
	there := strings.Split(before, ",")
	var all []cobra.Completion
	for _, name := range a.networks(cmd, own("driver=bridge"), func(n api.NetworkSummary) bool { return !slices.Contains(there, n.Name) }) {
		all = append(all, before+name)
	}
	return all, noFiles
}

// completeServiceFlags completes what service create and update have in common.
func (a *app) completeServiceFlags(cmd *cobra.Command) {
	choices(cmd, "scheduler", string(model.SchedulerMaglev), string(model.SchedulerRandom))
	choices(cmd, "affinity", string(model.AffinityNone), string(model.AffinityClientIP))
	completeFlag(cmd, "health", cobra.FixedCompletions(
		[]cobra.Completion{string(model.HealthNone), string(model.HealthTCP), string(model.HealthHTTP) + ":/"}, noSpace))
	completeFlag(cmd, "backend", a.eachSandbox(isRunning))
	completeFlag(cmd, "select", a.completeLabels)
}

// completeLabels offers the labels that sandboxes have.
func (a *app) completeLabels(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	found := make(map[string]bool)
	a.sandboxes(cmd, own(), func(s api.SandboxSummary) bool {
		for key, val := range s.Labels {
			found[key+"="+val] = true
		}
		return false
	})
	return slices.Sorted(maps.Keys(found)), noFiles
}
