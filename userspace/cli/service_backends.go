// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
)

// backendRow is a backend for a template.
type backendRow struct {
	Address, ID, Name, Open, Opened, Port, Reason, State, Weight string
}

const backendColumns = "{{.Name}}\t{{.Address}}\t{{.Port}}\t{{.Weight}}\t{{.State}}\t{{.Open}}\t{{.Opened}}\t{{.Reason}}"

func newServiceBackends(a *app) *cobra.Command {
	var l listFlags
	cmd := &cobra.Command{
		Use:   "backends [OPTIONS] SERVICE",
		Short: "List a service's backends",
		Long: "List a service's backends. Active ones get new connections, draining ones keep those that they have, and down ones have none. " +
			"PORT is * for the targets of the service's ports; OPEN are the connections that a backend has, OPENED those that it got; " +
			"REASON says why it isn't active, or is passed over.",
		Args:              exactly("SERVICE"),
		ValidArgsFunction: a.firstService,
	}
	l.define(a, cmd, "only names, or addresses where there is none", api.BackendFilterKeys())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		backends := a.client().ServiceBackends
		if l.showsCounts() {
			backends = a.client().CountedBackends
		}
		list, err := backends(cmd.Context(), args[0], l.filters)
		if err != nil {
			return err
		}
		slices.SortStableFunc(list, func(x, y api.BackendSummary) int { return natural(backendName(x), backendName(y)) })
		header := backendRow{Address: "ADDRESS", ID: "SANDBOX ID", Name: "NAME", Open: "OPEN", Opened: "OPENED", Port: "PORT", Reason: "REASON", State: "STATE", Weight: "WEIGHT"}
		rows := make([]backendRow, 0, len(list))
		for _, b := range list {
			rows = append(rows, rowOfBackend(l, b))
		}
		return printList(a.env.Stdout, l, header, backendColumns, "{{or .Name .Address}}", rows, list)
	}
	return cmd
}

func rowOfBackend(l listFlags, b api.BackendSummary) backendRow {
	port := "*"
	if b.Port != 0 {
		port = strconv.Itoa(int(b.Port))
	}
	row := backendRow{
		Address: strings.Join(addressesOf(b), ","), ID: l.id(b.SandboxID), Name: b.Sandbox, Port: port,
		Reason: b.Reason, State: string(b.State), Weight: strconv.Itoa(b.Weight),
	}
	if c := b.Connections; c != nil {
		row.Open, row.Opened = fmt.Sprint(c.Open), fmt.Sprint(c.Opened)
	}
	return row
}

// showsCounts reports whether the list of backends shows connections, which take a walk
// through all that are open.
func (l *listFlags) showsCounts() bool {
	switch {
	case l.output == "json", l.isTable():
		return true
	case l.quiet:
		return false
	}
	return l.format == "json" || l.formatHas(".Open", ".Reason", "json .")
}

// formatHas reports whether the template that rows are shown by has one of these.
func (l *listFlags) formatHas(parts ...string) bool {
	return !l.quiet && slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(l.format, part) })
}

func addressesOf(b api.BackendSummary) []string {
	var list []string
	if b.IPv4.IsValid() {
		list = append(list, b.IPv4.String())
	}
	if b.IPv6.IsValid() {
		list = append(list, b.IPv6.String())
	}
	return list
}

// backendName is what a backend can be drained by.
func backendName(b api.BackendSummary) string {
	if addrs := addressesOf(b); len(addrs) > 0 {
		return cmp.Or(b.Sandbox, addrs[0])
	}
	return b.Sandbox
}
