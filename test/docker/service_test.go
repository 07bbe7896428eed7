// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

var exampleOfPage = regexp.MustCompile(`(?s)\n(    services:\n.*?)\n\n[^ ]`)

// composeOfPage is the Compose file of docs/services.md with the suite's server, which
// speaks no HTTP, in place of nginx.
func composeOfPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/services.md")
	if err != nil {
		t.Fatal(err)
	}
	example := exampleOfPage.FindSubmatch(page)
	if example == nil {
		t.Fatal("docs/services.md has no Compose file")
	}
	file := "\nversion: \"2.4\"\n" + strings.ReplaceAll("\n"+string(example[1]), "\n    ", "\n") + "\n"
	for is, becomes := range map[string]string{
		"image: nginx": "image: peer:test\n    command: /peer serve 80 web", "http:/,": "tcp,",
	} {
		if !strings.Contains(file, is) {
			t.Fatalf("the Compose file of docs/services.md has no %q:\n%s", is, file)
		}
		file = strings.ReplaceAll(file, is, becomes)
	}
	return file
}

// serving waits until so many backends of the service get new connections, of so many.
func (d *engine) serving(name string, active, of int) {
	d.t.Helper()
	want := fmt.Sprintf("%d/%d docker", active, of)
	harness.Eventually(d.t, fmt.Sprintf("service %s to have %s", name, want), func() error {
		got := d.Fairway(d.t, "service", "ls", "-f", "name="+name, "--format", "{{.Backends}} {{.Owner}}")
		if strings.TrimSpace(got.Out) != want {
			return fmt.Errorf("%q %s", got.Out, got.Err)
		}
		return nil
	})
}

// The example of docs/services.md: as many containers as --scale says behind one
// published port, which see their clients' addresses.
func TestServiceByLabels(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		file := d.File(t, "compose.yml", composeOfPage(t))
		d.compose(file, "up", "-d", "--scale", "web=3")
		d.serving("web", 3, 3)
		for range 10 {
			is(t, "client's address", d.reaches(d.LAN1, harness.HostIP4+":8080", "web").String(), harness.LAN1IP4)
		}
		d.reaches(d.Host, "127.0.0.1:8080", "web")
		if out := d.Must(t, "ports", "--format", "{{.Host}} {{.Service}}"); !strings.Contains(out, ":8080 web") {
			t.Errorf("fairway ports: %s", out)
		}
		d.compose(file, "up", "-d", "--scale", "web=1")
		d.serving("web", 1, 1)
		for range 10 {
			d.reaches(d.LAN1, harness.HostIP4+":8080", "web")
		}
		d.compose(file, "down", "-t", "0")
		harness.Eventually(t, "the service to be gone", func() error {
			if out := d.Must(t, "service", "ls", "--format", "{{.Name}}"); out != "" {
				return fmt.Errorf("there is %q", out)
			}
			return nil
		})
		d.closed(d.LAN1, harness.HostIP4+":8080")
	})
}
