// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/request"
)

func newPort(a *app) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:               "port NAME [PORT[/PROTO]]",
		Short:             "List a sandbox's published ports, or where one of them is published",
		Args:              between(1, "NAME", "PORT"),
		ValidArgsFunction: a.firstSandbox(func(s api.SandboxSummary) bool { return len(s.Ports) > 0 }, noFiles),
	}
	defineOutput(cmd, &output)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var want string
		if len(args) == 2 {
			var err error
			if want, err = wantedPort(args[1]); err != nil {
				return err
			}
		}
		ports, err := a.client().Ports(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		ports = slices.DeleteFunc(ports, func(p api.PortBinding) bool {
			return p.HostPort == 0 || want != "" && containerPort(p) != want
		})
		if want != "" && len(ports) == 0 {
			return fmt.Errorf("no public port %q published for %s", args[1], args[0])
		}
		if output == "json" {
			return printJSON(a.env.Stdout, ports)
		}
		for _, line := range portLines(ports, want == "") {
			fmt.Fprintln(a.env.Stdout, line)
		}
		return nil
	}
	return cmd
}

// wantedPort is PORT[/PROTO] with the protocol.
func wantedPort(s string) (string, error) {
	number, proto, ok := strings.Cut(s, "/")
	if !ok {
		proto = "tcp"
	}
	ports, err := (&request.SandboxConfig{Expose: []string{number + "/" + proto}}).Exposed()
	if err != nil || len(ports) != 1 {
		return "", request.Errorf(request.ErrInvalid, "port %q: want PORT or PORT/PROTO like 80 or 53/udp", s)
	}
	return ports[0].String(), nil
}

func portLines(ports []api.PortBinding, withContainer bool) []string {
	var lines []string
	for _, p := range ports {
		line := hostAddr(p)
		if withContainer {
			line = containerPort(p) + " -> " + line
		}
		lines = append(lines, line)
	}
	slices.SortFunc(lines, natural)
	return lines
}
