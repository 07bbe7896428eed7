// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

func newNetwork(a *app) *cobra.Command {
	cmd := group(&cobra.Command{Use: "network", Short: "Networks"})
	cmd.AddCommand(
		newNetworkCreate(a), newNetworkLs(a), newNetworkInspect(a), newNetworkRm(a),
		newNetworkPrune(a), newNetworkConnect(a), newNetworkDisconnect(a),
	)
	return cmd
}

func newNetworkCreate(a *app) *cobra.Command {
	var req request.NetworkCreate
	var pools poolFlags
	var driver string
	ipv4 := true
	cmd := &cobra.Command{
		Use:   "create [OPTIONS] NETWORK",
		Short: "Create a network",
		Args:  exactly("NETWORK"),
	}
	f := cmd.Flags()
	f.StringVarP(&driver, "driver", "d", "bridge", "driver of the network")
	many(f, &pools.subnets, "subnet", "", "PREFIX", "subnet; once per address family", parsePrefix)
	many(f, &pools.gateways, "gateway", "", "ADDRESS", "gateway of the subnet that it is in", parseAddr)
	many(f, &pools.ranges, "ip-range", "", "PREFIX", "part of a subnet that sandboxes get addresses from", parsePrefix)
	many(f, &pools.aux, "aux-address", "", "NAME=ADDRESS", "address that no sandbox gets", parseAux)
	f.BoolVar(&ipv4, "ipv4", true, "use IPv4")
	f.BoolVar(&req.EnableIPv6, "ipv6", false, "use IPv6")
	f.BoolVar(&req.Internal, "internal", false, "no way in or out of the network")
	pairs(f, &req.Options, "opt", "o", "driver option")
	pairs(f, &req.Labels, "label", "", "label")
	choices(cmd, "driver", cobra.Completion(model.DriverBridge))
	completeFlag(cmd, "opt", completeOptions)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		req.Name = args[0]
		req.Driver = model.Driver(driver)
		if cmd.Flags().Changed("ipv4") {
			req.EnableIPv4 = &ipv4
		}
		if req.IPAM, err = pools.config(); err != nil {
			return err
		}
		n, err := a.client().CreateNetwork(cmd.Context(), req)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.env.Stdout, n.ID)
		return nil
	}
	return cmd
}

func newNetworkRm(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:               "rm NETWORK...",
		Aliases:           []string{"remove"},
		Short:             "Remove networks",
		Args:              atLeast("NETWORK"),
		ValidArgsFunction: a.completeUnused,
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "no error for a network that doesn't exist")
	cmd.RunE = a.forEach(func(ctx context.Context, client *api.Client, name string) (string, error) {
		return removed(name, force, client.RemoveNetwork(ctx, name))
	})
	return cmd
}

func newNetworkPrune(a *app) *cobra.Command {
	var force bool
	var filters []string
	cmd := &cobra.Command{Use: "prune", Short: "Remove all unused networks", Args: exactly()}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "don't ask")
	words(cmd.Flags(), &filters, "filter", "", "KEY=VALUE", "only these: label, label!, until (an age or a time)")
	a.completeFilter(cmd, api.PruneFilterKeys())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !force && !a.confirm("WARNING! This will remove all custom networks not used by at least one sandbox.") {
			return nil
		}
		names, err := a.client().PruneNetworks(cmd.Context(), filters)
		if len(names) > 0 {
			fmt.Fprintln(a.env.Stdout, "Deleted Networks:")
			for _, n := range names {
				fmt.Fprintln(a.env.Stdout, n)
			}
			fmt.Fprintln(a.env.Stdout)
		}
		return err
	}
	return cmd
}

func newNetworkConnect(a *app) *cobra.Command {
	var req request.Connect
	cmd := &cobra.Command{
		Use:               "connect [OPTIONS] NETWORK SANDBOX",
		Short:             "Connect a sandbox to a network",
		Args:              exactly("NETWORK", "SANDBOX"),
		ValidArgsFunction: a.completeEdge(false),
	}
	f := cmd.Flags()
	one(f, &req.IPv4, "ip", "ADDRESS", "IPv4 address", parseIPv4)
	one(f, &req.IPv6, "ip6", "ADDRESS", "IPv6 address", parseIPv6)
	one(f, &req.MAC, "mac-address", "MAC", "MAC address", parseMAC)
	words(f, &req.Aliases, "alias", "", "NAME", "another name on this network")
	f.IntVar(&req.GwPriority, "gw-priority", 0, "the network with the highest has the default route")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req.Sandbox = args[1]
		return a.client().Connect(cmd.Context(), args[0], req)
	}
	return cmd
}

func newNetworkDisconnect(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:               "disconnect [OPTIONS] NETWORK SANDBOX",
		Short:             "Disconnect a sandbox from a network",
		Args:              exactly("NETWORK", "SANDBOX"),
		ValidArgsFunction: a.completeEdge(true),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "also a sandbox whose namespace is gone")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.client().Disconnect(cmd.Context(), args[0], request.Disconnect{Sandbox: args[1], Force: force})
	}
	return cmd
}
