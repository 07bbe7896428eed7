// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// flowRow is a connection for a template.
type flowRow struct {
	Proto, Src, Dst, NATSrc, NATDst, Connection, Via, State, Kind, Opener, Target, Service, Sandbox, Network, EndpointID, Idle, Expires string
}

const flowColumns = "{{.Proto}}\t{{.Connection}}\t{{.Via}}\t{{.Opener}}\t{{.Target}}\t{{.State}}\t{{.Kind}}\t{{.Idle}}"

func newFlow(a *app) *cobra.Command {
	cmd := group(&cobra.Command{Use: "flow", Short: "Tracked connections"})
	cmd.AddCommand(newFlowLs(a))
	return cmd
}

func newFlowLs(a *app) *cobra.Command {
	var l listFlags
	var raw bool
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS]",
		Aliases: []string{"list"},
		Short:   "List the tracked connections, one line each",
		Long:    flowLong,
		Args:    exactly(),
	}
	l.define(a, cmd, "only the connection", api.FlowFilterKeys())
	cmd.Flags().BoolVar(&raw, "raw", false, "all fields as KEY=VALUE, in the order they are read")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		match, err := a.flowFilter(cmd.Context(), l.filters)
		if err != nil {
			return err
		}
		flows := filtered(a.client().Flows(cmd.Context()), match)
		if raw {
			return printRawFlows(a.env.Stdout, flows)
		}
		err = printFlows(a.env.Stdout, l, flows)
		if l.isTable() && err == nil {
			a.sayUntracked(cmd.Context())
		}
		return err
	}
	return cmd
}

// untracked is what the eBPF datapath has no flows of, and why.
const untracked = "  - within a network: they are switched as they are, and nothing of them is remembered\n" +
	"  - between the host and containers: they are the host's own (ss shows them)\n" +
	"  - over TCP from sandboxes to a service whose backends are on a network of theirs: hooks at\n" +
	"    their sockets connect them straight to the backend\n" +
	"  - from the host to published ports, those on 127.0.0.1 too: hooks at the host's sockets\n" +
	"    connect them straight to the container"

const flowLong = "List the tracked connections, one line each: those that are translated or routed between a sandbox and outside, or\n" +
	"between sandboxes of different networks. OPENER is the sandbox that began a connection and TARGET the one that it\n" +
	"leads to; an end without a name is outside. The filter sandbox=NAME finds both, opener=NAME and target=NAME one. VIA names\n" +
	"the service that chose the target in brackets, and service=NAME finds all of a service's.\n\n" +
	"The eBPF datapath doesn't track connections, and they aren't listed,\n" + untracked + "\n" +
	"With --datapath iptables netfilter tracks these too, and they are listed."

// sayUntracked ends a table with what it can't show. Standard error keeps it out of
// what reads the table through a pipe.
func (a *app) sayUntracked(ctx context.Context) {
	status, err := a.client().Status(ctx)
	if err != nil || status.Datapath.Mode != datapath.EBPF {
		return
	}
	fmt.Fprintln(a.env.Stderr, "\nNot tracked, and so not listed, are connections\n"+untracked)
}

func filtered(flows iter.Seq2[api.Flow, error], match func(api.Flow) bool) iter.Seq2[api.Flow, error] {
	return func(yield func(api.Flow, error) bool) {
		for f, err := range flows {
			if (err != nil || match(f)) && !yield(f, err) {
				return
			}
		}
	}
}

// printFlows prints what was read even if the reading failed on the way.
func printFlows(w io.Writer, l listFlags, flows iter.Seq2[api.Flow, error]) error {
	list, rows := []api.Flow{}, []flowRow{}
	var failed error
	for f, err := range flows {
		if err != nil {
			failed = err
			break
		}
		list, rows = append(list, f), append(rows, rowOfFlow(l, f))
	}
	if failed != nil && len(list) == 0 {
		return failed
	}
	header := flowRow{
		Proto: "PROTO", Src: "SRC", Dst: "DST", NATSrc: "NAT SRC", NATDst: "NAT DST",
		Connection: "CONNECTION", Via: "VIA", State: "STATE", Kind: "KIND", Opener: "OPENER", Target: "TARGET", Service: "SERVICE", Sandbox: "SANDBOX",
		Network: "NETWORK", EndpointID: "ENDPOINT ID", Idle: "IDLE", Expires: "EXPIRES",
	}
	return errors.Join(printList(w, l, header, flowColumns, "{{.Connection}}", rows, list), failed)
}

func rowOfFlow(l listFlags, f api.Flow) flowRow {
	row := flowRow{
		Proto: protoText(f), Src: addrText(f.Src), Dst: addrText(f.Dst),
		NATSrc: addrText(f.NATSrc), NATDst: addrText(f.NATDst),
		State: f.State, Kind: f.Kind, Opener: f.Opener.Sandbox, Target: f.Target.Sandbox, Service: f.Service, Sandbox: f.Sandbox, Network: f.Network,
		EndpointID: l.id(f.EndpointID), Idle: secondsText(f.IdleSeconds), Expires: secondsText(f.ExpiresSeconds),
	}
	row.Connection, row.Via = connection(f)
	return row
}

// connection shows both real ends, and the address in between where one of
// them sees it instead of the other: the published one, with the service's name if it is
// a service's, or the masquerade's.
func connection(f api.Flow) (ends, via string) {
	var between []string
	if f.NATDst != f.Dst {
		text := addrText(f.Dst)
		if f.Service != "" {
			text += " (" + f.Service + ")"
		}
		between = append(between, text)
	}
	if f.NATSrc != f.Src {
		between = append(between, addrText(f.NATSrc))
	}
	return addrText(f.Src) + " -> " + addrText(f.NATDst), strings.Join(between, ",")
}

func printRawFlows(w io.Writer, flows iter.Seq2[api.Flow, error]) error {
	for f, err := range flows {
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "proto=%s kind=%s state=%s src=%s dst=%s nat_src=%s nat_dst=%s sandbox=%s network=%s endpoint_id=%s opener=%s target=%s service=%s idle=%.3f expires=%.3f\n",
			protoText(f), f.Kind, f.State, f.Src, f.Dst, f.NATSrc, f.NATDst,
			f.Sandbox, f.Network, f.EndpointID, f.Opener.Sandbox, f.Target.Sandbox, f.Service, f.IdleSeconds, f.ExpiresSeconds)
		if err != nil {
			return err
		}
	}
	return nil
}

func protoText(f api.Flow) string {
	if f.ProtoName != "" {
		return f.ProtoName
	}
	return fmt.Sprint(f.Proto)
}

// addrText leaves out a port of 0: there is none.
func addrText(a netip.AddrPort) string {
	switch {
	case !a.IsValid():
		return ""
	case a.Port() == 0:
		return a.Addr().String()
	}
	return a.String()
}

func secondsText(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Second).String()
}
