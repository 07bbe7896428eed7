// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"errors"
	"strings"

	"github.com/fairway-project/fairway/test/harness"
)

const helloProgram = `#!/bin/sh
echo
echo "$NAME greets $REMOTE_ADDR"
`

const helloDockerfile = `FROM busybox
COPY index.cgi /www/cgi-bin/
EXPOSE 8000
ENTRYPOINT ["sh", "-c", "export NAME=$0; exec httpd -f -p 0.0.0.0:8000 -h /www"]
`

func (w *walk) images() {
	w.exercise("An image", "A web server that says what it is called and whom it sees. Most exercises use it.", func() {
		w.file("hello/index.cgi", helloProgram)
		w.file("hello/Dockerfile", helloDockerfile)
		w.carries(0, "building needs none", func() {
			w.host("chmod +x hello/index.cgi")
			w.host("docker build -q -t hello hello")
		})
	})
}

// hello runs the web server under a name, which it also tells.
func (w *walk) hello(name, args string) {
	w.t.Helper()
	w.host(strings.Join(strings.Fields("docker run -d --name "+name+" "+args+" hello "+name), " "))
	w.listens(name, "8000")
}

func (w *walk) twoContainers() {
	w.exercise("Two containers, the host, and a server outside",
		"Containers on the default bridge reach each other, their host and the world, and their host reaches them.", func() {
			w.hello("one", "")
			w.hello("two", "")
			at := w.host("docker inspect -f '{{.Name}} {{.NetworkSettings.IPAddress}}' one two")
			w.check(at.is("/one 172.17.0.2\n/two 172.17.0.3"), "The containers have the first addresses of docker0's network.", at)
			w.betweenContainers()
			w.withTheHost()
			w.outside()
		})
}

func (w *walk) betweenContainers() {
	w.carries(6, "three requests and three replies", func() {
		s := w.host("docker exec one ping -c 3 -i 0.2 172.17.0.3")
		w.check(s.has("3 packets received"), "`one` pings `two`.", s)
	})
	w.carriesFetches(2, func() {
		s := w.host("docker exec one wget -q -O - http://172.17.0.3:8000/")
		w.check(s.is("two greets 172.17.0.2"), "`one` fetches from `two`, which sees its address.", s)
		s = w.host("docker exec two wget -q -O - http://172.17.0.2:8000/")
		w.check(s.is("one greets 172.17.0.3"), "`two` fetches from `one`, which sees its address.", s)
	})
}

func (w *walk) withTheHost() {
	w.page.says("The host and the containers:")
	w.passes(2*6+2*perFetch, func() {
		s := w.host("ping -c 3 -i 0.2 -q 172.17.0.2")
		w.check(s.has("3 received"), "The host pings `one`.", s)
		s = w.host("curl -s http://172.17.0.2:8000/")
		w.check(s.is("one greets 172.17.0.1"), "The host fetches from `one`, and is docker0's address to it.", s)
		s = w.host("docker exec one ping -c 3 -i 0.2 172.17.0.1")
		w.check(s.has("3 packets received"), "`one` pings the host.", s)
		s = w.host("docker exec one wget -q -O - http://192.0.2.1:9000/")
		w.check(s.is("the host greets 172.17.0.2"), "`one` fetches from the host, which sees its address.", s)
	})
}

func (w *walk) outside() {
	w.page.says("A server outside sees the host's address, and docker0's gateway is the first hop on the way to it:")
	w.carries(6, "three requests and three replies", func() {
		s := w.host("docker exec one ping -c 3 -i 0.2 198.51.100.10")
		w.check(s.has("3 packets received"), "`one` pings the server outside.", s)
	})
	w.carriesFetches(1, func() {
		s := w.host("docker exec one wget -q -O - http://198.51.100.10/")
		w.check(s.is("the server outside greets 192.0.2.1"), "`one` fetches from the server outside, which sees the host's address.", s)
	})
	w.traceroute()
}

// traceroute is tried again where a hop's answer is missing: the kernel limits how
// many ICMP errors it sends, those of other tests included.
func (w *walk) traceroute() {
	w.t.Helper()
	const command = "docker exec one traceroute -n -w 1 198.51.100.10"
	var s said
	harness.Eventually(w.t, "each hop answers", func() error {
		if s = w.run(w.Host, command); s.err == nil && s.has("*") {
			return errors.New(s.text)
		}
		return s.err
	})
	w.page.command("host", command, s.text)
	var hops []string
	for line := range strings.Lines(s.text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] != "traceroute" {
			hops = append(hops, f[1])
		}
	}
	w.check(strings.Join(hops, " ") == "172.17.0.1 192.0.2.254 198.51.100.10", "traceroute shows docker0's gateway, the router, the server.", s)
}
