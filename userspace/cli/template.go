// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/template"
)

// parseTemplate reads a value of --format with Docker's functions; \t and \n
// stand for tab and newline.
func parseTemplate(text string) (*template.Template, error) {
	text = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(text)
	tmpl, err := template.New("").Funcs(template.FuncMap{
		"json":     jsonText,
		"join":     strings.Join,
		"split":    strings.Split,
		"lower":    strings.ToLower,
		"upper":    strings.ToUpper,
		"pad":      pad,
		"println":  fmt.Sprintln,
		"truncate": truncate,
	}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("format %q: %s", text, strings.TrimPrefix(err.Error(), "template: "))
	}
	return tmpl, nil
}

func jsonText(v any) (string, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(buf.String(), "\n"), err
}

func pad(s string, before, after int) string {
	return strings.Repeat(" ", before) + s + strings.Repeat(" ", after)
}

func truncate(s string, n int) string {
	if n < 0 || len(s) <= n {
		return s
	}
	return s[:n]
}
