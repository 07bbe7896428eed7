// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/fairway-project/fairway/userspace/request"
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
		return nil, request.Errorf(request.ErrInvalid, "format %q: %s", text, strings.TrimPrefix(err.Error(), "template: "))
	}
	return tmpl, nil
}

// noField is what package text/template says of a field that a value hasn't.
var noField = regexp.MustCompile(`can't evaluate field (\w+) in type (\S+)`)

// templateError says which fields there are where a template names another.
func templateError(err error, data any) error {
	t := reflect.TypeOf(data)
	m := noField.FindStringSubmatch(err.Error())
	if m == nil || m[2] != t.String() {
		return request.Errorf(request.ErrInvalid, "format: %s", strings.TrimPrefix(err.Error(), "template: "))
	}
	var names []string
	for _, f := range reflect.VisibleFields(t) {
		if f.IsExported() {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return request.Errorf(request.ErrInvalid, "format: no field %q; want one of %s", m[1], strings.Join(names, ", "))
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
