// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/cli"
)

// listings are the commands that filter, and print by a template.
var listings = [][]string{
	{"network", "ls"}, {"ps", "-a"}, {"flow", "ls"}, {"inspect", "web"}, {"network", "inspect", "front"},
	{"service", "ls"}, {"service", "backends", "store"}, {"service", "inspect", "store"},
}

// counting finds templates that loop or pad by large numbers; they get what they ask for.
var counting = regexp.MustCompile(`[0-9a-zA-Z_]{4,}[0-9]|[0-9]{4}|range|0[xXbBoO]|'|define|block`)

// FuzzListings gives a filter and a template to the commands that list: they print,
// or say in one line why not.
func FuzzListings(f *testing.F) {
	for _, seed := range [][2]string{
		{"name=fro", "table {{.ID}}\t{{.Name}}"},
		{"label=tier=front", `{{json .}}`},
		{"status=running", `{{.Names | upper | printf "%10s"}} {{.Label "app"}}`},
		{"port=80", `{{.Src}}{{"\t"}}{{.Dst}}`},
		{"address=172.20.0.0/16", "{{range .}}{{end}}"},
		{"id=[", "{{.Nope}}"},
		{"name!=x", `{{.NetworkSettings.Networks.front.IPAddress}}`},
		{"until=1h", `{{index .Ports "80/tcp"}}`},
		{"=", `{{truncate .Name 2}}{{pad .Name 1 2}}{{join (split .Name "") "-"}}`},
		{"state=established", "json"}, {"", "table"}, {"sandbox=web", "\x00{{"},
	} {
		for command := range listings {
			f.Add(uint8(command), seed[0], seed[1])
		}
	}
	fake := fixture(f)
	socket := apitest.Serve(f, fake, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, command uint8, filter, format string) {
		if counting.MatchString(format) {
			return
		}
		args := append([]string{}, listings[int(command)%len(listings)]...)
		if !strings.Contains(strings.Join(args, " "), "inspect") {
			args = append(args, "--filter", filter)
		}
		var stderr bytes.Buffer
		env := cli.Env{
			Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &stderr, Now: time.Now,
			LookupEnv: environ(map[string]string{"FAIRWAY_SOCKET": socket}),
		}
		code := cli.Main(env, programs(), append(args, "--format", format))
		if code != 0 && code != 1 && code != 2 {
			t.Errorf("exit code %d", code)
		}
		if lines := strings.Count(stderr.String(), "\n"); lines > 1 || (code == 0) != (lines == 0) {
			t.Errorf("exit code %d with %d lines of errors:\n%q", code, lines, stderr.String())
		}
	})
}
