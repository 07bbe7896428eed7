// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/request"
)

func newStatus(a *app) *cobra.Command {
	var brief bool
	var format, output string
	cmd := &cobra.Command{Use: "status [OPTIONS]", Short: "Show the state of daemon and datapath", Args: exactly()}
	cmd.Flags().BoolVar(&brief, "brief", false, "ok, or in one line what is wrong, with exit code 1")
	cmd.Flags().StringVar(&format, "format", "", "json, or a Go template")
	defineOutput(cmd, &output)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.client().Status(cmd.Context())
		switch {
		case err != nil:
			return err
		case brief:
			return printBrief(a.env.Stdout, s)
		case output == "json":
			return printJSON(a.env.Stdout, s)
		case format != "":
			return printOne(a.env.Stdout, format, s)
		}
		return printStatus(a.env.Stdout, s, a.env.Now())
	}
	return cmd
}

// printOne prints a single object as --format says.
func printOne[T any](w io.Writer, format string, v T) error {
	if format == "json" {
		format = "{{json .}}"
	}
	return printTemplate(w, format, []T{v})
}

func printBrief(w io.Writer, s request.Status) error {
	if len(s.Degraded) == 0 {
		fmt.Fprintln(w, "ok")
		return nil
	}
	fmt.Fprintln(w, "degraded: "+strings.Join(s.Degraded, "; "))
	return &exitCode{code: exitError}
}

// section prints rows under a key; only the first row shows it.
type section struct {
	key  string
	rows []string
}

func printStatus(w io.Writer, s request.Status, now time.Time) error {
	tw := tabwriter.NewWriter(w, 0, 1, 2, ' ', 0)
	for _, sec := range append(daemonSections(s, now), datapathSections(s)...) {
		if len(sec.rows) == 0 {
			sec.rows = []string{"none"}
		}
		for i, row := range sec.rows {
			key := sec.key + ":"
			if i > 0 {
				key = ""
			}
			fmt.Fprintln(tw, key+"\t"+row)
		}
	}
	return tw.Flush()
}

func daemonSections(s request.Status, now time.Time) []section {
	state := []string{"ok"}
	if len(s.Degraded) > 0 {
		state = s.Degraded
	}
	metrics := s.Metrics
	if metrics == "" {
		metrics = "off"
	}
	sections := []section{
		{"Status", state},
		{"Daemon", []string{fmt.Sprintf("%s, pid %d, up %s", versionLine(s.Version), s.Pid, units.HumanDuration(now.Sub(s.Started)))}},
		{"Kernel", []string{s.Kernel}},
		{"Root", []string{s.Root}},
		{"Run directory", []string{s.RunDir}},
		{"Metrics", []string{metrics}},
		{"Uplinks", []string{cmp.Or(strings.Join(s.Uplinks, ", "), "none")}},
		{"Networks", []string{fmt.Sprint(s.Networks)}},
		{"Sandboxes", []string{fmt.Sprintf("%d running, %d in all", s.Running, s.Sandboxes)}},
		{"Endpoints", []string{fmt.Sprint(s.Endpoints)}},
		{"Published ports", []string{fmt.Sprint(s.Ports)}},
		{"Services", serviceRows(s)},
	}
	if rows := carriedRows(s.Carried); len(rows) > 0 {
		sections = append(sections, section{"For others", rows})
	}
	return sections
}

// serviceRows counts services and their connections, and names those that refuse their clients.
func serviceRows(s request.Status) []string {
	rows := []string{fmt.Sprint(s.Services)}
	if c := s.ServiceConnections; c != (request.ServiceConnections{}) {
		rows = append(rows, fmt.Sprintf("%d connections opened, %d refused, %d of strangers", c.Opened, c.Refused, c.Strangers))
	}
	if len(s.Unserved) > 0 {
		rows = append(rows, "no backend serves: "+someOf(s.Unserved))
	}
	return rows
}

// carriedRows are what is carried for each of the others.
func carriedRows(all []request.CarriedCount) []string {
	var rows []string
	for _, c := range all {
		rows = append(rows, fmt.Sprintf("%s\t%d networks, %d endpoints, %d published ports, %d services", c.Owner, c.Networks, c.Endpoints, c.Ports, c.Services))
	}
	return rows
}

func datapathSections(s request.Status) []section {
	mode := string(s.Datapath.Mode)
	if s.Datapath.Netfilter == datapath.NetfilterFirstPacket {
		mode += ", connections with the outside judged by netfilter (first-packet)"
	}
	if s.BPFFS != "" && s.Datapath.Mode == datapath.EBPF {
		mode += ", pinned in " + s.BPFFS
	}
	return []section{
		{"Datapath", append([]string{mode}, s.Datapath.Notes...)},
		{"Features", featureRows(s.Datapath.Features)},
		{"Attached", attachmentRows(s.Datapath.Attachments)},
		{"Flows", []string{fillText(s.Stats.Flows, s.Stats.FlowLimit)}},
		{"Forwarded", forwardedRows(s.Stats.Forwarded)},
		{"Dropped", dropRows(s)},
		{"Program runs", programRows(s.Stats.Programs)},
		{"Maps", mapRows(s.Stats.Maps)},
	}
}

func featureRows(features []datapath.Feature) []string {
	var rows []string
	for _, f := range features {
		have := "yes"
		if !f.Available {
			have = "no"
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t>= %s\t%s", f.Name, have, f.Since, f.Used))
	}
	return rows
}

// attachmentRows joins the programs of a device: hundreds of endpoints have
// the same ones, and those are counted, not listed.
func attachmentRows(attachments []datapath.Attachment) []string {
	type program struct{ name, how string }
	devices := make(map[program][]string)
	var order []program
	for _, at := range attachments {
		p := program{at.Program, at.How}
		if devices[p] == nil {
			order = append(order, p)
		}
		devices[p] = append(devices[p], at.Device)
	}
	var rows []string
	for _, p := range order {
		list := devices[p]
		slices.SortFunc(list, natural)
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s", p.name, p.how, someOf(list)))
	}
	return rows
}

// someOf shows the first names of a list.
func someOf(list []string) string {
	const shown = 4
	text := strings.Join(list[:min(len(list), shown)], ", ")
	if len(list) > shown {
		text += fmt.Sprintf(" and %d more", len(list)-shown)
	}
	return text
}

func forwardedRows(paths map[datapath.Path]datapath.Counter) []string {
	var rows []string
	for _, p := range []datapath.Path{datapath.PathEBPF, datapath.PathStack} {
		if c, ok := paths[p]; ok {
			rows = append(rows, fmt.Sprintf("%s\t%s", p, counterText(c)))
		}
	}
	return rows
}

// dropRows shows the reasons that occurred, the most frequent first, and how much of
// each is recent.
func dropRows(s request.Status) []string {
	drops := slices.DeleteFunc(slices.Clone(s.Stats.Drops), func(d datapath.Drop) bool { return d.Packets == 0 })
	slices.SortStableFunc(drops, func(a, b datapath.Drop) int { return cmp.Compare(b.Packets, a.Packets) })
	var rows []string
	for _, d := range drops {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s", d.Reason, d.Direction, counterText(d.Counter), recentText(s.RecentDrops, d)))
	}
	return rows
}

func recentText(r request.RecentDrops, of datapath.Drop) string {
	var packets uint64
	for _, d := range r.Drops {
		if d.Reason == of.Reason && d.Direction == of.Direction {
			packets = d.Packets
		}
	}
	return fmt.Sprintf("%d in the last %.0f s", packets, r.Seconds)
}

func programRows(programs []datapath.ProgramStats) []string {
	var rows []string
	for _, p := range programs {
		rows = append(rows, fmt.Sprintf("%s\t%d\t%d redirected, %d passed, %d dropped", p.Name, p.Runs, p.Redirected, p.Passed, p.Dropped))
	}
	return rows
}

func mapRows(maps []datapath.Fill) []string {
	var rows []string
	for _, m := range maps {
		rows = append(rows, m.Map+"\t"+fillText(m.Entries, m.Max))
	}
	return rows
}

func fillText(n, limit uint64) string {
	if limit == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d of %d (%.1f %%)", n, limit, 100*float64(n)/float64(limit))
}

func counterText(c datapath.Counter) string {
	return fmt.Sprintf("%d packets, %s", c.Packets, units.HumanSize(float64(c.Bytes)))
}
