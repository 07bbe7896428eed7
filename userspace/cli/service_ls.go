// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
)

// serviceRow is a service for a template.
type serviceRow struct {
	Backends, CreatedAt, EndpointMode, ID, Labels, Name, Networks, Open, Opened, Owner, Ports, Published, Refused, Strangers, VIP, Warnings string

	labels map[string]string
}

// Label is a label's value, as in {{.Label "key"}}.
func (r serviceRow) Label(key string) string {
	if r.labels == nil {
		return key
	}
	return r.labels[key]
}

func (r serviceRow) owner() model.Owner { return model.Owner(r.Owner) }

const (
	serviceColumns = "{{.Name}}\t{{.Networks}}\t{{.VIP}}\t{{.Ports}}\t{{.Published}}\t{{.Backends}}"
	countColumns   = "\t{{.Open}}\t{{.Opened}}\t{{.Refused}}\t{{.Strangers}}"
)

func newServiceLs(a *app) *cobra.Command {
	var l listFlags
	var counts bool
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS]",
		Aliases: []string{"list"},
		Short:   "List services; BACKENDS are those that get new connections, of all",
		Args:    exactly(),
	}
	l.define(a, cmd, quietIDs, api.ServiceFilterKeys())
	cmd.Flags().BoolVar(&counts, "counts", false, "connections, too: those that are OPEN, that were OPENED, that were REFUSED for want of a backend, and those of STRANGERS to --source-range")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		services := a.client().Services
		if counts || l.formatHas(".Open", ".Refused", ".Strangers") {
			services = a.client().CountedServices
		}
		list, err := services(cmd.Context(), l.filters)
		if err != nil {
			return err
		}
		slices.SortStableFunc(list, func(x, y api.ServiceSummary) int { return natural(x.Name, y.Name) })
		if l.quiet {
			list = slices.DeleteFunc(list, func(s api.ServiceSummary) bool { return s.Owner != model.OwnerFairway })
		}
		header := serviceRow{
			Backends: "BACKENDS", CreatedAt: "CREATED AT", EndpointMode: "ENDPOINT MODE", ID: "SERVICE ID", Labels: "LABELS", Name: "NAME",
			Networks: "NETWORKS", Open: "OPEN", Opened: "OPENED", Owner: "OWNER", Ports: "PORTS", Published: "PUBLISHED", Refused: "REFUSED",
			Strangers: "STRANGERS", VIP: "VIP", Warnings: "WARNINGS",
		}
		rows := make([]serviceRow, 0, len(list))
		for _, s := range list {
			rows = append(rows, rowOfService(l, s))
		}
		columns := serviceColumns
		if counts {
			columns += countColumns
		}
		return printList(a.env.Stdout, l, header, withOwner(columns, rows, serviceRow.owner), "{{.ID}}", rows, list)
	}
	return cmd
}

func rowOfService(l listFlags, s api.ServiceSummary) serviceRow {
	var networks, vips []string
	for _, n := range s.Networks {
		networks = append(networks, n.Network)
		if n.IPv4.IsValid() {
			vips = append(vips, n.IPv4.String())
		}
		if n.IPv6.IsValid() {
			vips = append(vips, n.IPv6.String())
		}
	}
	if s.EndpointMode == model.EndpointModeDNSRR {
		vips = []string{string(model.EndpointModeDNSRR)}
	}
	row := serviceRow{
		Backends: fmt.Sprintf("%d/%d", s.BackendCount.Active, s.BackendCount.Total), CreatedAt: s.Created.String(),
		EndpointMode: string(s.EndpointMode), ID: l.id(s.ID), Labels: labelText(s.Labels), Name: s.Name,
		Networks: strings.Join(networks, ","), Owner: string(s.Owner), Ports: servicePortsText(s.Ports),
		Published: publishedText(s.Published), VIP: strings.Join(vips, ","), Warnings: strings.Join(s.Warnings, "; "), labels: s.Labels,
	}
	if c := s.Connections; c != nil {
		row.Open, row.Opened, row.Refused = fmt.Sprint(c.Open), fmt.Sprint(c.Opened), fmt.Sprint(c.Refused)
		row.Strangers = fmt.Sprint(c.Strangers)
	}
	return row
}

// servicePortsText is ports as --port takes them.
func servicePortsText(ports []api.ServicePort) string {
	var list []string
	for _, p := range ports {
		port := strconv.Itoa(int(p.Port))
		if p.Target != p.Port {
			port += ":" + strconv.Itoa(int(p.Target))
		}
		list = append(list, port+"/"+p.Proto.String())
	}
	return strings.Join(list, ",")
}

// publishedText is HOSTPORT->PORT, once for a port of all addresses of both families
// and with the address for others.
func publishedText(all []api.ServicePublished) string {
	var list []string
	for _, p := range all {
		host := hostAddr(api.PortBinding{HostIP: p.HostIP, HostPort: p.HostPort})
		if onBothFamilies(all, p) {
			if p.HostIP.Is6() {
				continue
			}
			host = strconv.Itoa(int(p.HostPort))
		}
		list = append(list, fmt.Sprintf("%s->%d/%s", host, p.Port, p.Proto))
	}
	return strings.Join(list, ",")
}

// onBothFamilies reports whether p is of all addresses of the host, IPv4 and IPv6.
func onBothFamilies(all []api.ServicePublished, p api.ServicePublished) bool {
	if !p.HostIP.IsUnspecified() {
		return false
	}
	for _, any := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if p.HostIP = any; !slices.Contains(all, p) {
			return false
		}
	}
	return true
}
