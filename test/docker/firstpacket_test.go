// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// With --netfilter=first-packet what an operator has in DOCKER-USER judges connections
// with the outside, in the words that Docker's documentation has for it: published
// ports by the container's own address and port.
func TestDockerUserRulesJudge(t *testing.T) {
	onEngines(t, func(t *testing.T, d *engine) {
		iptables := func(args ...string) { t.Helper(); d.Host.Must(t, "iptables", append([]string{"-w"}, args...)...) }
		iptables("-N", "DOCKER-USER")
		iptables("-I", "FORWARD", "-j", "DOCKER-USER")
		iptables("-A", "DOCKER-USER", "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT")
		iptables("-A", "DOCKER-USER", "-i", "eth0", "!", "-s", harness.LAN1IP4, "-j", "DROP")
		d.Daemon.Args = append(d.Daemon.Args, "--netfilter=first-packet")
		d.Daemon.Start(t)
		d.start()
		d.importImage()
		harness.ServeTCP(t, d.WAN, 80, "wan")
		d.serve("web", "-p", "7000:80")
		d.serve("shut", "-p", "7001:81")
		is(t, "source that the server saw", d.reaches(d.LAN1, harness.HostIP4+":7000", "web"), harness.LAN1IP4)
		d.closed(d.LAN2, harness.HostIP4+":7000")
		is(t, "source of a container", d.reaches(d.netns("web"), harness.WANIP4+":80", "wan"), harness.HostIP4)
		iptables("-I", "DOCKER-USER", "-p", "tcp", "--dport", "80", "-d", d.ip("web", "bridge"), "-j", "DROP")
		d.closed(d.LAN1, harness.HostIP4+":7000")
		// The host's own sockets and other containers aren't judged there.
		d.reaches(d.Host, "127.0.0.1:7000", "web")
		d.reaches(d.netns("shut"), harness.HostIP4+":7000", "web")
		iptables("-D", "DOCKER-USER", "1")
		d.reaches(d.LAN1, harness.HostIP4+":7000", "web")
		checks := d.Fairway(t, "doctor").Out
		if harness.CountLines(checks, "-i eth0 -j DROP: applies to connections of containers with the outside") != 1 {
			t.Errorf("doctor says\n%s", checks)
		}
		iptables("-D", "FORWARD", "-j", "DOCKER-USER")
		d.reaches(d.LAN2, harness.HostIP4+":7000", "web")
		iptables("-F", "DOCKER-USER")
		iptables("-X", "DOCKER-USER")
	}, harness.Forwarding())
}
