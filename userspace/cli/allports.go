// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
)

// portRow is a published port for a template.
type portRow struct {
	Host, Port, Sandbox, SandboxID, Service, Owner string
}

const (
	portColumns = "{{.Host}}\t{{.Port}}\t{{.Sandbox}}\t{{.Owner}}"
	// servicePortColumns are for hosts with services.
	servicePortColumns = "{{.Host}}\t{{.Port}}\t{{.Sandbox}}\t{{.Service}}\t{{.Owner}}"
)

func newPorts(a *app) *cobra.Command {
	var l listFlags
	cmd := &cobra.Command{
		Use:   "ports [OPTIONS]",
		Short: "List all published ports of the host",
		Long: "List all published ports of the host: of sandboxes, of services, and of the containers of Docker that are carried.\n\n" +
			"Docker can't show the ports of containers on networks of the driver plugin; this does.",
		Args: exactly(),
	}
	l.defineFormat(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := a.client().AllPorts(cmd.Context())
		if err != nil {
			return err
		}
		header := portRow{Host: "HOST", Port: "PORT", Sandbox: "SANDBOX", SandboxID: "SANDBOX ID", Service: "SERVICE", Owner: "OWNER"}
		rows := make([]portRow, 0, len(list))
		for _, p := range list {
			rows = append(rows, rowOfPort(p))
		}
		columns := portColumns
		if slices.ContainsFunc(list, func(p api.PublishedBy) bool { return p.Service != "" }) {
			columns = servicePortColumns
		}
		return printList(a.env.Stdout, l, header, columns, "", rows, list)
	}
	return cmd
}

func rowOfPort(p api.PublishedBy) portRow {
	return portRow{
		Host: hostAddr(p.PortBinding), Port: containerPort(p.PortBinding),
		Sandbox: p.Sandbox, SandboxID: p.SandboxID, Service: p.Service, Owner: string(p.Owner),
	}
}
