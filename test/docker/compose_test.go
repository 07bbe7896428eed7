// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/fairway-project/fairway/test/partial"
)

// composeFile names its containers: by default version 2 of compose names them otherwise.
const composeFile = `version: "2.4"
services:
  proxy:
    container_name: shop_proxy_1
    image: peer:test
    command: /peer serve 80 proxy
    ports: ["7000:80", "127.0.0.1:7001:80"]
    networks: [front, back]
    depends_on: [app]
    links: ["app:upstream"]
  app:
    container_name: shop_app_1
    image: peer:test
    command: /peer serve 80 app
    mac_address: "02:11:22:33:44:55"
    networks:
      back: {aliases: [worker], ipv4_address: 10.44.0.9}
networks:
  front: {}
  back:
    internal: true
    ipam:
      config: [{subnet: 10.44.0.0/24}]
`

// compose runs docker-compose on the file in dir.
func (d *engine) compose(file string, args ...string) string {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "docker-compose", append([]string{"-p", "shop", "-f", file}, args...)...)
	// Compose 2 has no -H, and names containers as 1 did only if it is asked to.
	cmd.Env = append(os.Environ(), "DOCKER_HOST=unix://"+d.socket, "COMPOSE_COMPATIBILITY=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		partial.Skip(d.t, err)
		d.t.Fatalf("docker-compose %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// An application of two services on two networks, brought up, changed and taken
// down by docker-compose.
func TestCompose(t *testing.T) {
	onDocker(t, func(t *testing.T, d *engine) {
		file := d.File(t, "compose.yml", composeFile)
		d.compose(file, "up", "-d")
		const proxy, app = "shop_proxy_1", "shop_app_1"
		d.reaches(d.LAN1, harness.HostIP4+":7000", "proxy")
		d.reaches(d.Host, "127.0.0.1:7001", "proxy")
		d.closed(d.LAN1, harness.HostIP4+":7001")
		is(t, "address asked for", d.ip(app, "shop_back"), "10.44.0.9")
		// docker-compose 1 connects the network again, and engines from 25 forget the
		// address then.
		link := d.netns(app).Must(t, "ip", "-o", "link", "show", "eth0")
		if !strings.Contains(link, "02:11:22:33:44:55") && !d.atLeast(25, 0) {
			t.Errorf("eth0: %s, want the MAC address asked for", link)
		}
		for _, name := range []string{"app", "worker", "upstream", app} {
			d.fetches(proxy, name+":80", "app")
		}
		d.fetches(app, "proxy:80", "proxy")
		d.closed(d.netns(app), d.ip(proxy, "shop_front")+":80")
		d.compose(file, "restart", "-t", "0", "proxy")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "proxy")
		d.fetches(proxy, "worker:80", "app")
		// Not --force-recreate, which docker-compose 1 can't do with engines from 25.
		d.compose(file, "rm", "-s", "-f", "proxy")
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.compose(file, "up", "-d")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "proxy")
		d.matches()
		d.noRules()
		d.compose(file, "down", "-t", "0")
		d.closed(d.LAN1, harness.HostIP4+":7000")
		d.matches()
	})
}
