// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/harness"
)

// hostGateway is docker0's address, which extra_hosts calls host-gateway.
const hostGateway = "172.17.0.1"

var exampleOfPage = regexp.MustCompile(`(?s)\n(    services:\n.*?)\n\n[^ ]`)

// composeOfPage is the Compose file of docs/services.md with the suite's server in place of
// nginx.
func composeOfPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../docs/services.md")
	if err != nil {
		t.Fatal(err)
	}
	example := exampleOfPage.FindSubmatch(page)
	const nginx = "image: nginx"
	if example == nil || !strings.Contains(string(example[1]), nginx) {
		t.Fatalf("docs/services.md has no Compose file with %q", nginx)
	}
	file := "\nversion: \"2.4\"\n" + strings.ReplaceAll("\n"+string(example[1]), "\n    ", "\n") + "\n"
	return strings.Replace(file, nginx, "image: peer:test\n    command: /peer web 80 $$HOSTNAME", 1)
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

// get fetches http://TO/, and returns who answered and whom that saw.
func get(from *harness.Netns, to string) (tag string, seen netip.Addr, err error) {
	return getFor(harness.Patience, from, to, "/")
}

// getFor is get of a path, with a limit for the answer.
func getFor(limit time.Duration, from *harness.Netns, to, path string) (tag string, seen netip.Addr, err error) {
	dial := func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		err = from.Do(func() (err error) {
			c, err = (&net.Dialer{Timeout: limit}).DialContext(ctx, network, addr)
			return err
		})
		return c, err
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: limit}
	answer, err := client.Get("http://" + to + path)
	if err != nil {
		return "", seen, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", seen, err
	}
	var client4 string
	if _, err := fmt.Sscan(string(body), &tag, &client4); err != nil {
		return "", seen, fmt.Errorf("answer %q: %w", body, err)
	}
	p, err := netip.ParseAddrPort(client4)
	return tag, p.Addr().Unmap(), err
}

// spread demands that a service is served by all of the containers and by no other one.
func (d *engine) spread(from *harness.Netns, to string, containers ...string) {
	d.t.Helper()
	var want []string
	for _, c := range containers {
		want = append(want, d.docker("inspect", "-f", "{{.Config.Hostname}}", c))
	}
	slices.Sort(want)
	harness.Eventually(d.t, fmt.Sprintf("%s reaches %d containers at %s", from.Name, len(want), to), func() error {
		var got []string
		for range 30 * len(want) {
			tag, _, err := get(from, to)
			if err != nil {
				return err
			}
			if !slices.Contains(got, tag) {
				got = append(got, tag)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("%q answered, want %q", got, want)
		}
		return nil
	})
}

func (d *engine) degraded(want string) {
	d.t.Helper()
	harness.Eventually(d.t, fmt.Sprintf("the status says %q", want), func() error {
		all := d.status().Degraded
		if want == "" && len(all) > 0 || want != "" && !strings.Contains(strings.Join(all, "\n"), want) {
			return fmt.Errorf("degraded: %q", all)
		}
		return nil
	})
}

// One published port over the containers of a Compose service, as the page about services
// shows it: the client's address is kept, containers come and go, and neither the daemon's
// death nor labels that contradict each other end anything.
func TestComposeService(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		file := d.File(t, "compose.yml", composeOfPage(t))
		d.compose(file, "up", "-d", "--scale", "web=3")
		const to = harness.HostIP4 + ":8080"
		web := []string{"shop_web_1", "shop_web_2", "shop_web_3"}
		d.spread(d.LAN1, to, web...)
		_, seen, err := get(d.LAN1, to)
		if err != nil {
			t.Fatal(err)
		}
		is(t, "source that a container saw", seen, harness.LAN1IP4)
		d.spread(d.Host, "127.0.0.1:8080", web...)
		d.spread(d.netns(web[0]), to, web...)
		d.spread(d.netns(web[0]), hostGateway+":8080", web...)
		d.serving("web", 3, 3)
		if out := d.Must(t, "ports", "--format", "{{.Host}} {{.Service}}"); !strings.Contains(out, ":8080 web") {
			t.Errorf("fairway ports: %s", out)
		}
		d.degraded("")

		// It takes the place of another with the port, and serves all the same.
		d.docker("run", "-d", "--name", "odd", "--network", "shop_default", "--label", "fairway.service=web", "--label", "fairway.service.port=80",
			image, "/peer", "web", "80", "$HOSTNAME")
		d.degraded("container odd contradicts shop_web_")
		d.spread(d.LAN1, to, append(web, "odd")...)
		d.docker("run", "-d", "--name", "late", "--label", "fairway.service=other", "--label", "fairway.service.port=80",
			"--label", "fairway.service.publish=8080:80", image, "/peer", "web", "80", "late")
		d.degraded("published ports of service other on bridge")
		d.docker("rm", "-f", "odd", "late")
		d.degraded("")

		d.docker("kill", web[2])
		d.spread(d.LAN1, to, web[:2]...)
		d.compose(file, "up", "-d", "--scale", "web=1")
		d.serving("web", 1, 1)
		d.compose(file, "up", "-d", "--scale", "web=3")
		d.spread(d.LAN1, to, web...)
		d.Daemon.Kill(t)
		d.spread(d.LAN1, to, web...)
		d.Daemon.Start(t)
		d.spread(d.LAN1, to, web...)
		d.compose(file, "down", "-t", "0")
		harness.Eventually(t, "the service is gone", func() error {
			if out := d.Must(t, "service", "ls", "--format", "{{.Name}}"); out != "" {
				return fmt.Errorf("there is %q", out)
			}
			return nil
		})
		d.closed(d.LAN1, to)
		d.degraded("")
		d.noRules()
	}, harness.Own())
}
