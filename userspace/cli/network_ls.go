// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"slices"
	"strconv"

	"github.com/fvbommel/sortorder"
	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
)

// networkRow is a network for a template, with Docker's fields.
type networkRow struct {
	CreatedAt, Driver, ID, IPv4, IPv6, Internal, Labels, Name, Owner, Scope string

	labels map[string]string
}

// Label is a label's value, as in {{.Label "key"}}.
func (r networkRow) Label(key string) string {
	if r.labels == nil {
		return key
	}
	return r.labels[key]
}

func (r networkRow) owner() model.Owner { return model.Owner(r.Owner) }

const networkColumns = "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"

func newNetworkLs(a *app) *cobra.Command {
	var l listFlags
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS]",
		Aliases: []string{"list"},
		Short:   "List networks",
		Args:    exactly(),
	}
	l.define(a, cmd, quietIDs, api.NetworkFilterKeys())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := a.client().Networks(cmd.Context(), l.filters)
		if err != nil {
			return err
		}
		slices.SortStableFunc(list, func(x, y api.NetworkSummary) int { return natural(x.Name, y.Name) })
		if l.quiet {
			list = slices.DeleteFunc(list, func(n api.NetworkSummary) bool { return n.Owner != model.OwnerFairway })
		}
		header := networkRow{
			CreatedAt: "CREATED AT", Driver: "DRIVER", ID: "NETWORK ID", IPv4: "IPV4", IPv6: "IPV6",
			Internal: "INTERNAL", Labels: "LABELS", Name: "NAME", Owner: "OWNER", Scope: "SCOPE",
		}
		rows := make([]networkRow, 0, len(list))
		for _, n := range list {
			rows = append(rows, rowOfNetwork(l, n))
		}
		return printList(a.env.Stdout, l, header, withOwner(networkColumns, rows, networkRow.owner), "{{.ID}}", rows, list)
	}
	return cmd
}

func rowOfNetwork(l listFlags, n api.NetworkSummary) networkRow {
	return networkRow{
		CreatedAt: n.Created.String(), Driver: string(n.Driver), ID: l.id(n.ID),
		IPv4: strconv.FormatBool(n.IPv4), IPv6: strconv.FormatBool(n.IPv6),
		Internal: strconv.FormatBool(n.Internal), Labels: labelText(n.Labels),
		Name: n.Name, Owner: string(n.Owner), Scope: n.Scope, labels: n.Labels,
	}
}

// natural orders net2 before net10.
func natural(x, y string) int {
	switch {
	case sortorder.NaturalLess(x, y):
		return -1
	case sortorder.NaturalLess(y, x):
		return 1
	}
	return 0
}
