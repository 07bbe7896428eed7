// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// page is the tutorial in the making.
type page struct {
	text     strings.Builder
	stable   *stable
	checks   []string
	block    bool
	sections int
}

func newPage(id string) *page {
	p := &page{stable: newStable(id)}
	p.text.WriteString(walkthroughIntro)
	return p
}

// exercise begins a section, after what was checked in the last one.
func (p *page) exercise(title, shows string) {
	p.finish()
	p.sections++
	fmt.Fprintf(&p.text, "\n## %d. %s\n\n%s\n", p.sections, title, broken(shows, ""))
}

// finish ends a section with its checks.
func (p *page) finish() {
	p.closeBlock()
	if len(p.checks) > 0 {
		p.text.WriteString("\nChecked:\n\n")
	}
	for _, c := range p.checks {
		fmt.Fprintf(&p.text, "- %s\n", broken(c, "  "))
	}
	p.checks = nil
}

func (p *page) closeBlock() {
	if p.block {
		p.text.WriteString("```\n")
	}
	p.block = false
}

// says adds a paragraph between commands.
func (p *page) says(text string) {
	p.closeBlock()
	fmt.Fprintf(&p.text, "\n%s\n", broken(text, ""))
}

// columns are those of prose.
const columns = 100

// broken breaks prose into lines, each but the first behind an indent.
func broken(text, indent string) string {
	var out strings.Builder
	used := len(indent)
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case used+1+len(word) > columns:
			out.WriteString("\n" + indent)
			used = len(indent)
		default:
			out.WriteString(" ")
			used++
		}
		out.WriteString(word)
		used += len(word)
	}
	return out.String()
}

// file shows one.
func (p *page) file(name, content string) {
	p.says("`" + name + "`:")
	language := map[string]string{".py": "python", ".conf": "nginx", ".json": "json", ".cgi": "sh", "": "dockerfile"}[filepath.Ext(name)]
	fmt.Fprintf(&p.text, "\n```%s\n%s```\n", language, content)
}

// command shows one and what it printed.
func (p *page) command(prompt, command, out string) {
	if !p.block {
		p.text.WriteString("\n```console\n")
	}
	p.block = true
	fmt.Fprintf(&p.text, "%s$ %s\n", prompt, p.stable.of(command))
	if out = strings.TrimRight(p.stable.of(out), "\n"); out != "" {
		p.text.WriteString(out + "\n")
	}
}

func (p *page) checked(what string) {
	for _, c := range p.checks {
		if c == what {
			return
		}
	}
	p.checks = append(p.checks, what)
}

// real is a command with the names that it has on this machine.
func (p *page) real(command string) string { return p.stable.real(command) }

// compare demands that the page in docs is what happened, or writes it.
func (w *walk) compare() {
	w.t.Helper()
	w.page.finish()
	now := w.page.text.String()
	if *update && !w.t.Failed() {
		if err := os.WriteFile(walkthroughFile, []byte(now), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	was, err := os.ReadFile(walkthroughFile)
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(was), "\n"), strings.Split(now, "\n")); diff != "" {
		w.t.Errorf("docs/walkthrough.md isn't what happens (-docs +now); `go test ./test/docker -run Walkthrough -update` writes it:\n%s", diff)
	}
}
