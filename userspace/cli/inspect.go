// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/request"
)

// document is one inspected object: typed for templates, raw for printing.
type document struct {
	value any
	raw   json.RawMessage
}

func newInspect(a *app) *cobra.Command {
	return inspectCommand(a, &cobra.Command{
		Use:               "inspect [OPTIONS] NAME...",
		Short:             "Show sandboxes in full, and where no sandbox has the name, networks or services",
		Args:              atLeast("NAME"),
		ValidArgsFunction: a.completeInspected,
	}, func(ctx context.Context, c *api.Client, name string) (document, error) {
		s, raw, err := c.Sandbox(ctx, name)
		if !errors.Is(err, request.ErrNotFound) {
			return document{s, raw}, err
		}
		// Where nothing has the name it is a sandbox's that isn't found.
		if n, raw, err := c.Network(ctx, name); !errors.Is(err, request.ErrNotFound) {
			return document{n, raw}, err
		}
		if v, raw, err := c.CountedService(ctx, name); !errors.Is(err, request.ErrNotFound) {
			return document{v, raw}, err
		}
		return document{}, err
	})
}

func newNetworkInspect(a *app) *cobra.Command {
	return inspectCommand(a, &cobra.Command{
		Use:               "inspect [OPTIONS] NETWORK...",
		Short:             "Show networks in full",
		Args:              atLeast("NETWORK"),
		ValidArgsFunction: a.completeNetworks,
	}, func(ctx context.Context, c *api.Client, name string) (document, error) {
		n, raw, err := c.Network(ctx, name)
		return document{n, raw}, err
	})
}

// inspectCommand completes cmd: what is found is printed in any case, what is
// not is an error.
func inspectCommand(a *app, cmd *cobra.Command, fetch func(context.Context, *api.Client, string) (document, error)) *cobra.Command {
	var format, output string
	cmd.Flags().StringVarP(&format, "format", "f", "", "json, or a Go template")
	defineOutput(cmd, &output)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client := a.client()
		var docs []document
		missing := each(args, func(name string) error {
			d, err := fetch(cmd.Context(), client, name)
			if err == nil {
				docs = append(docs, d)
			}
			return err
		})
		return errors.Join(printDocuments(a, format, docs), missing)
	}
	return cmd
}

func printDocuments(a *app, format string, docs []document) error {
	if format == "" || format == "json" {
		return printArray(a, format, docs)
	}
	tmpl, err := parseTemplate(format)
	if err != nil {
		return err
	}
	for _, d := range docs {
		if err := execute(a.env.Stdout, tmpl, d.value); err != nil {
			return err
		}
	}
	return nil
}

// printArray prints the documents as they came, indented as Docker does unless
// format is "json".
func printArray(a *app, format string, docs []document) error {
	list := []json.RawMessage{}
	for _, d := range docs {
		list = append(list, d.raw)
	}
	compact, err := json.Marshal(list)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if format == "json" {
		out.Write(compact)
	} else if err := json.Indent(&out, compact, "", "    "); err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.env.Stdout, out.String())
	return err
}
