// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
)

// sandboxRow is a sandbox for a template.
type sandboxRow struct {
	Command, CreatedAt, ID, IP, Labels, Name, Networks, Owner, Pid, Ports, RunningFor, State, Status string

	labels map[string]string
}

// Label is a label's value, as in {{.Label "key"}}.
func (r sandboxRow) Label(key string) string {
	if r.labels == nil {
		return key
	}
	return r.labels[key]
}

func (r sandboxRow) owner() model.Owner { return model.Owner(r.Owner) }

const sandboxColumns = "{{.ID}}\t{{.Name}}\t{{.Status}}\t{{.Command}}\t{{.Networks}}\t{{.IP}}\t{{.Ports}}"

// commandWidth is as much of a command as Docker shows.
const commandWidth = 20

func newPs(a *app) *cobra.Command {
	var l listFlags
	var all bool
	cmd := &cobra.Command{Use: "ps [OPTIONS]", Short: "List sandboxes", Args: exactly()}
	l.define(a, cmd, quietIDs, api.SandboxFilterKeys())
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also those that don't run")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		list, err := a.client().Sandboxes(cmd.Context(), all, l.filters)
		if err != nil {
			return err
		}
		if l.quiet {
			list = slices.DeleteFunc(list, func(s api.SandboxSummary) bool { return s.Owner != model.OwnerFairway })
		}
		header := sandboxRow{
			Command: "COMMAND", CreatedAt: "CREATED AT", ID: "ID", IP: "IP", Labels: "LABELS",
			Name: "NAME", Networks: "NETWORKS", Owner: "OWNER", Pid: "PID", Ports: "PORTS",
			RunningFor: "CREATED", State: "STATE", Status: "STATUS",
		}
		rows := make([]sandboxRow, 0, len(list))
		for _, s := range list {
			rows = append(rows, rowOfSandbox(l, s, a.env.Now()))
		}
		return printList(a.env.Stdout, l, header, withOwner(sandboxColumns, rows, sandboxRow.owner), "{{.ID}}", rows, list)
	}
	return cmd
}

func rowOfSandbox(l listFlags, s api.SandboxSummary, now time.Time) sandboxRow {
	var networks, addrs []string
	for _, n := range s.Networks {
		networks = append(networks, n.Network)
		if n.IPv4.IsValid() {
			addrs = append(addrs, n.IPv4.String())
		}
		if n.IPv6.IsValid() {
			addrs = append(addrs, n.IPv6.String())
		}
	}
	if len(networks) == 0 {
		networks = []string{modeText(s)}
	}
	command := strings.Join(s.Command, " ")
	if !l.noTrunc {
		command = ellipsis(command, commandWidth)
	}
	if command != "" {
		command = strconv.Quote(command)
	}
	return sandboxRow{
		Command: command, CreatedAt: createdAt(s), ID: l.id(s.ID), IP: strings.Join(addrs, ","),
		Labels: labelText(s.Labels), Name: s.Name, Networks: strings.Join(networks, ","), Owner: string(s.Owner),
		Pid: strconv.Itoa(s.Pid), Ports: portsText(s.Ports),
		RunningFor: runningFor(s, now),
		State:      string(s.Status), Status: statusText(s, now), labels: s.Labels,
	}
}

// createdAt and runningFor are empty for containers of others, of whom nobody says it.
func createdAt(s api.SandboxSummary) string {
	if s.Created.IsZero() {
		return ""
	}
	return s.Created.String()
}

func runningFor(s api.SandboxSummary, now time.Time) string {
	if s.Created.IsZero() {
		return ""
	}
	return units.HumanDuration(now.Sub(s.Created)) + " ago"
}

// modeText says why a sandbox has no network of its own; one that ended has given
// its up.
func modeText(s api.SandboxSummary) string {
	switch {
	case s.NetworkMode == model.ModeContainer && s.SharedWith != "":
		return "container:" + s.SharedWith
	case s.NetworkMode != model.ModeNetworks:
		return string(s.NetworkMode)
	case s.Status == model.StatusExited:
		return ""
	}
	return model.NetworkNone
}

// statusText is Docker's: Up 2 hours, Exited (0) 3 minutes ago.
func statusText(s api.SandboxSummary, now time.Time) string {
	switch {
	case s.Status == model.StatusCreated:
		return "Created"
	case s.Status == model.StatusRunning && s.StartedAt.IsZero():
		return "Up"
	case s.Status == model.StatusRunning:
		return "Up " + units.HumanDuration(now.Sub(s.StartedAt))
	case s.FinishedAt.IsZero():
		return "Exited"
	}
	code := "?"
	if s.ExitCode != nil {
		code = strconv.Itoa(*s.ExitCode)
	}
	return fmt.Sprintf("Exited (%s) %s ago", code, units.HumanDuration(now.Sub(s.FinishedAt)))
}
