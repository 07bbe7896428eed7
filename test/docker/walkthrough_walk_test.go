// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// walk goes through the exercises and writes down what it does.
type walk struct {
	*engine
	page *page
	// work is the directory that commands run in.
	work string
	// title is the exercise at hand; counted tells that it looked at the counters.
	title   string
	counted bool
}

func newWalk(t *testing.T, d *engine) *walk {
	t.Helper()
	w := &walk{engine: d, page: newPage(d.ID), work: d.Dir(t, "work")}
	return w
}

// exercise goes through one, looks at the host afterwards, and clears up.
func (w *walk) exercise(title, shows string, steps func()) {
	w.t.Helper()
	w.page.exercise(title, shows)
	w.title, w.counted = title, false
	steps()
	w.noRulesAnywhere()
	if !w.counted {
		w.t.Errorf("%s: no look at the counters", title)
	}
	w.clear()
}

// clear removes the containers and networks of an exercise.
func (w *walk) clear() {
	w.t.Helper()
	if ids := strings.Fields(w.docker("ps", "-aq")); len(ids) > 0 {
		w.docker(append([]string{"rm", "-f", "-v"}, ids...)...)
	}
	if ids := strings.Fields(w.docker("network", "ls", "-q", "--filter", "type=custom")); len(ids) > 0 {
		w.docker(append([]string{"network", "rm"}, ids...)...)
	}
}

// said is what a command printed to standard output, followed by standard error if
// it failed.
type said struct {
	text string
	err  error
}

// has tells whether the output has all of the texts.
func (s said) has(texts ...string) bool {
	for _, text := range texts {
		if !strings.Contains(s.text, text) {
			return false
		}
	}
	return true
}

// is tells whether the output is this, but for space around it.
func (s said) is(text string) bool { return strings.TrimSpace(s.text) == text }

// host runs a command on the host, lan on a neighbour of it, far on the server
// outside; it has to succeed.
func (w *walk) host(command string) said { w.t.Helper(); return w.succeeds(w.Host, "host", command) }
func (w *walk) lan(command string) said  { w.t.Helper(); return w.succeeds(w.LAN1, "lan", command) }
func (w *walk) far(command string) said  { w.t.Helper(); return w.succeeds(w.WAN, "outside", command) }

func (w *walk) succeeds(n *harness.Netns, prompt, command string) said {
	w.t.Helper()
	s := w.run(n, command)
	w.page.command(prompt, command, s.text)
	if s.err != nil {
		w.t.Fatalf("%s: %s: %v\n%s", w.title, command, s.err, s.text)
	}
	return s
}

// fails runs a command on the host that must not succeed.
func (w *walk) fails(command string) said {
	w.t.Helper()
	s := w.run(w.Host, command)
	w.page.command("host", command, s.text)
	if s.err == nil {
		w.t.Fatalf("%s: %s: succeeds\n%s", w.title, command, s.text)
	}
	return s
}

// run is one line for the shell, as the page shows it.
func (w *walk) run(n *harness.Netns, command string) said {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var out, errs strings.Builder
	cmd := n.Command(ctx, "sh", "-c", w.page.real(command))
	cmd.Dir, cmd.Stdout, cmd.Stderr = w.work, &out, &errs
	cmd.Env = append(w.env(), "DOCKER_HOST=unix://"+w.socket, "DOCKER_BUILDKIT=0", "LC_ALL=C")
	if err := n.Start(cmd); err != nil {
		w.t.Fatal(err)
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatalf("%s: %s: %v\n%s", w.title, command, err, out.String()+errs.String())
	}
	if err != nil {
		return said{out.String() + errs.String(), err}
	}
	if strings.HasPrefix(command, "docker port ") {
		return said{samePorts(out.String()), nil}
	}
	return said{out.String(), nil}
}

// file writes a file that the page shows.
func (w *walk) file(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.work, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(content), 0o644)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.page.file(name, content)
}

// check writes down what was checked.
func (w *walk) check(ok bool, what string, got ...said) {
	w.t.Helper()
	w.page.checked(what)
	if !ok {
		w.t.Errorf("%s: not so: %s", w.title, what)
		for _, s := range got {
			w.t.Logf("it said:\n%s", s.text)
		}
	}
}

// listens waits, unseen, until a container's server does. Nothing of that goes
// through the container's device.
func (w *walk) listens(container, port string) {
	w.t.Helper()
	n := w.netns(container)
	harness.Eventually(w.t, container+" listens", func() error {
		return n.Do(func() error {
			conn, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
			if err != nil {
				return err
			}
			return conn.Close()
		})
	})
}
