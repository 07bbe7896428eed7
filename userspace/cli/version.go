// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/request"
)

// versions is what version prints; Server is null where no daemon answers.
type versions struct {
	Client request.Version  `json:"client"`
	Server *request.Version `json:"server"`
}

func newVersion(a *app) *cobra.Command {
	var format, output string
	cmd := &cobra.Command{Use: "version [OPTIONS]", Short: "Show the versions of client and daemon", Args: exactly()}
	cmd.Flags().StringVar(&format, "format", "", "json, or a Go template")
	defineOutput(cmd, &output)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		v := versions{Client: request.BuildVersion()}
		server, err := a.client().Version(cmd.Context())
		if err == nil {
			v.Server = &server
		}
		if perr := printVersions(a.env.Stdout, format, output, v); perr != nil {
			return perr
		}
		return err
	}
	return cmd
}

func printVersions(w io.Writer, format, output string, v versions) error {
	switch {
	case output == "json":
		return printJSON(w, v)
	case format != "":
		return printOne(w, format, v)
	}
	tw := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	printVersion(tw, "Client", v.Client)
	if v.Server != nil {
		fmt.Fprintln(tw)
		printVersion(tw, "Server", *v.Server)
	}
	return tw.Flush()
}

func printVersion(w io.Writer, who string, v request.Version) {
	fmt.Fprintf(w, "%s:\n Version:\t%s\n", who, v.Version)
	if v.Commit != "" {
		fmt.Fprintf(w, " Commit:\t%s\n", commitText(v))
	}
	fmt.Fprintf(w, " Go version:\t%s\n OS/Arch:\t%s\n", v.Go, v.Platform)
}

func commitText(v request.Version) string {
	if v.Modified {
		return v.Commit + " (modified)"
	}
	return v.Commit
}

// versionLine is a version in a few words.
func versionLine(v request.Version) string {
	if v.Commit == "" {
		return v.Version
	}
	return v.Version + " (" + truncate(v.Commit, shortID) + ")"
}
