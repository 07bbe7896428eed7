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

func newService(a *app) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "service",
		Short: "Services: a stable name and address in front of sandboxes",
		Long: "Services: a stable name and address in front of sandboxes.\n\n" +
			"A service has an address in each of its networks and ports of the host, and its backends behind them: " +
			"the sandboxes that have the labels which it selects, or those that it names. One of the backends is chosen when a connection opens.",
		Example: `  fairway service create web --network front --port 80:8080 --publish 8080:80 --select app=web
  fairway run -d --network front --label app=web -- ./server
  fairway service backends web`,
	})
	cmd.AddCommand(
		newServiceCreate(a), newServiceLs(a), newServiceInspect(a), newServiceUpdate(a), newServiceRm(a),
		newServiceBackends(a), newServiceDrain(a),
	)
	return cmd
}

func newServiceCreate(a *app) *cobra.Command {
	var req request.ServiceCreate
	var spec serviceFlags
	cmd := &cobra.Command{
		Use:   "create [OPTIONS] SERVICE",
		Short: "Create a service",
		Args:  exactly("SERVICE"),
		Example: `  Sandboxes with a label, by the service's address on one network and by a port of the host:
    fairway service create web --network front --port 80:8080 --publish 8080:80 --select app=web --health http:/healthz
  Two named sandboxes, of which one takes three of four clients, each client always the same one:
    fairway service create db --network back --port 5432 --backend db1,weight=3 --backend db2 --affinity client-ip
  A machine on the LAN:
    fairway service create ldap --network back --port 389 --backend 192.0.2.7:3389
  A name only, for all that listens:
    fairway service create peers --network back --endpoint-mode dnsrr --select app=peer`,
	}
	f := cmd.Flags()
	commas(f, &req.Networks, "network", "NETWORK[,NETWORK]", "networks that the service is in")
	one(f, &req.IPv4, "ip", "ADDRESS", "its IPv4 address in the first network (default one that is free)", parseIPv4)
	one(f, &req.IPv6, "ip6", "ADDRESS", "its IPv6 address in the first network (default one that is free)", parseIPv6)
	one(f, &req.EndpointMode, "endpoint-mode", "MODE", "what the name stands for: vip, an address of its own, or dnsrr, the backends' (default vip)",
		wordOf(model.EndpointModeVIP, model.EndpointModeDNSRR))
	spec.define(f)
	a.completeServiceFlags(cmd)
	completeFlag(cmd, "network", a.completeNetworkList)
	choices(cmd, "endpoint-mode", string(model.EndpointModeVIP), string(model.EndpointModeDNSRR))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req.Name, req.ServiceSpec = args[0], spec.ServiceSpec
		if len(req.Networks) == 0 {
			return usagef(cmd, "--network is missing: a service is in at least one network")
		}
		s, err := a.client().CreateService(cmd.Context(), req)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.env.Stdout, s.ID)
		a.warn(s.Warnings)
		return nil
	}
	return cmd
}

// warn tells what a daemon that did as it was told thinks of it, in Docker's form.
func (a *app) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintln(a.env.Stderr, "WARNING: "+w)
	}
}

func newServiceUpdate(a *app) *cobra.Command {
	var spec serviceFlags
	cmd := &cobra.Command{
		Use:   "update [OPTIONS] SERVICE",
		Short: "Change a service",
		Long: "Change a service. What isn't given stays as it is. An option that may be repeated replaces all that there was; " +
			"with an empty value it takes everything away, as --publish \"\" does.\n\n" +
			"Connections that are open go on, except those to backends that aren't the service's any more: they have the time that --drain says.",
		Args:              exactly("SERVICE"),
		ValidArgsFunction: a.firstService,
		Example: `  fairway service update web --select app=web --select version=2
  fairway service update web --health http:/healthz,interval=1s --drain 1m
  fairway service update web --publish ""`,
	}
	spec.define(cmd.Flags())
	a.completeServiceFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		req, changes := spec.update(cmd.Flags())
		if !changes {
			return usagef(cmd, "nothing to change is given")
		}
		s, err := a.client().UpdateService(cmd.Context(), args[0], req)
		if err != nil {
			return err
		}
		fmt.Fprintln(a.env.Stdout, s.Name)
		a.warn(s.Warnings)
		return nil
	}
	return cmd
}

func newServiceInspect(a *app) *cobra.Command {
	return inspectCommand(a, &cobra.Command{
		Use:               "inspect [OPTIONS] SERVICE...",
		Short:             "Show services in full",
		Args:              atLeast("SERVICE"),
		ValidArgsFunction: a.completeServices(nil),
	}, func(ctx context.Context, c *api.Client, name string) (document, error) {
		s, raw, err := c.CountedService(ctx, name)
		return document{s, raw}, err
	})
}

func newServiceRm(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:               "rm SERVICE...",
		Aliases:           []string{"remove"},
		Short:             "Remove services and end the connections through them; their backends stay",
		Args:              atLeast("SERVICE"),
		ValidArgsFunction: a.completeServices(own()),
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "no error for a service that doesn't exist")
	cmd.RunE = a.forEach(func(ctx context.Context, client *api.Client, name string) (string, error) {
		return removed(name, force, client.RemoveService(ctx, name))
	})
	return cmd
}

func newServiceDrain(a *app) *cobra.Command {
	var undo bool
	cmd := &cobra.Command{
		Use:   "drain [OPTIONS] SERVICE BACKEND...",
		Short: "Open no new connections to a backend, and leave those that it has",
		Long: "Open no new connections to a backend, and leave those that it has. A backend is a sandbox's name or ID, or an address. " +
			"It stays so until --undo, restarts of the daemon included.\n\n" +
			"When it has no connections left, OPEN in \"fairway service backends SERVICE\", it can go.",
		Args:              atLeast("SERVICE", "BACKEND"),
		ValidArgsFunction: a.completeDrain(&undo),
		Example: `  fairway service drain web web2     # no new clients; and see what it still has:
  fairway service backends web
  fairway service drain --undo web web2`,
	}
	cmd.Flags().BoolVar(&undo, "undo", false, "open connections to it again")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client := a.client()
		return each(args[1:], func(backend string) error {
			err := client.DrainService(cmd.Context(), args[0], request.ServiceDrain{Backend: backend, Undo: undo})
			if err == nil {
				fmt.Fprintln(a.env.Stdout, backend)
			}
			return err
		})
	}
	return cmd
}
