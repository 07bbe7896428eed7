// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"text/tabwriter"
	"text/template"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/model"
)

// listFlags are the flags of every list.
type listFlags struct {
	quiet, noTrunc bool
	format, output string
	filters        []string
}

// quietIDs is what --quiet means where there are IDs.
const quietIDs = "only IDs, of Fairway's own"

// define adds the flags to cmd; quiet describes --quiet, and keys are those of --filter.
func (l *listFlags) define(a *app, cmd *cobra.Command, quiet string, keys []api.FilterKey) {
	f := cmd.Flags()
	f.BoolVarP(&l.quiet, "quiet", "q", false, quiet)
	f.BoolVar(&l.noTrunc, "no-trunc", false, "nothing shortened")
	words(f, &l.filters, "filter", "f", "KEY=VALUE", "only these: "+describeKeys(keys))
	a.completeFilter(cmd, keys)
	l.defineFormat(cmd)
}

// isTable reports whether the list is for reading: in columns of Fairway's choice.
func (l *listFlags) isTable() bool {
	return l.output != "json" && !l.quiet && (l.format == "" || l.format == "table")
}

// describeKeys tells the keys of a filter, and values where there are few.
func describeKeys(keys []api.FilterKey) string {
	const few = 4
	var texts []string
	for _, k := range keys {
		if n := len(k.Values); n > 0 && n <= few {
			texts = append(texts, k.Name+" ("+strings.Join(k.Values, ", ")+")")
		} else {
			texts = append(texts, k.Name)
		}
	}
	return strings.Join(texts, ", ")
}

func (l *listFlags) defineFormat(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&l.format, "format", "", "table, json (one object per line), a Go template or 'table TEMPLATE'")
	defineOutput(cmd, &l.output)
	choices(cmd, "format", "table", "json")
}

// defineOutput adds -o to a command that reads.
func defineOutput(cmd *cobra.Command, output *string) {
	v := &value[string]{kind: "json|table", set: func(s string) { *output = s }, parse: func(s string) (string, error) {
		if s != "json" && s != "table" {
			return s, errors.New("want json or table")
		}
		return s, nil
	}}
	cmd.Flags().VarP(v, "output", "o", "json: one document with the API's field names")
	choices(cmd, "output", "json", "table")
}

// printList prints rows as the flags say. Header is a row that holds the
// headers, columns the template of the table, id that of -q. Document is what
// -o json prints.
func printList[Row any](w io.Writer, l listFlags, header Row, columns, id string, rows []Row, document any) error {
	switch {
	case l.output == "json":
		return printJSON(w, document)
	case l.quiet:
		return printTemplate(w, id, rows)
	case l.format == "json":
		return printTemplate(w, "{{json .}}", rows)
	case l.format == "" || l.format == "table":
		return printTable(w, columns, header, rows)
	case strings.HasPrefix(l.format, "table "):
		return printTable(w, strings.TrimPrefix(l.format, "table "), header, rows)
	}
	return printTemplate(w, l.format, rows)
}

// withOwner adds the owner to a table's columns where one isn't Fairway: without a
// Docker Engine the tables are just Docker's.
func withOwner[Row any](columns string, rows []Row, owner func(Row) model.Owner) string {
	for _, r := range rows {
		if owner(r) != model.OwnerFairway {
			return columns + "\t{{.Owner}}"
		}
	}
	return columns
}

// printTable aligns with Docker's parameters.
func printTable[Row any](w io.Writer, text string, header Row, rows []Row) error {
	tw := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
	if err := printTemplate(tw, text, append([]Row{header}, rows...)); err != nil {
		return err
	}
	return tw.Flush()
}

func printTemplate[Row any](w io.Writer, text string, rows []Row) error {
	tmpl, err := parseTemplate(text)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := execute(w, tmpl, row); err != nil {
			return err
		}
	}
	return nil
}

// execute prints one row and a newline, or nothing at all.
func execute(w io.Writer, tmpl *template.Template, data any) error {
	var line bytes.Buffer
	if err := tmpl.Execute(&line, data); err != nil {
		return templateError(err, data)
	}
	line.WriteByte('\n')
	_, err := w.Write(line.Bytes())
	return err
}

// printJSON prints a document in two-space steps.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
