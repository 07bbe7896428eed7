// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"slices"
	"strings"
)

func (w *walk) published() {
	w.exercise("Published ports", "Ports of the host lead to a container: chosen ones, free ones, and all that the image exposes.", func() {
		w.hello("web", "-p 18000:8000 -p 18001:8000")
		w.threeForms()
		w.carriesFetches(2, func() {
			s := w.lan("curl -s http://192.0.2.1:18000/")
			w.check(s.is("web greets 192.0.2.10"), "A neighbour fetches from both ports, and the server sees the neighbour's address.", s)
			s = w.lan("curl -s http://192.0.2.1:18001/")
			w.check(s.is("web greets 192.0.2.10"), "A neighbour fetches from both ports, and the server sees the neighbour's address.", s)
		})
		w.passes(perFetch, func() {
			s := w.host("curl -s http://127.0.0.1:18000/")
			w.check(s.is("web greets 172.17.0.1"), "The host fetches by its loopback address.", s)
		})
		w.page.says("With `-p 8000` and with `-P` Docker takes a free port:")
		w.carriesFetches(2, func() {
			w.freePort("any", "-p 8000")
			w.freePort("all", "-P")
		})
	})
}

// threeForms asks for ports in all ways that docker port knows.
func (w *walk) threeForms() {
	w.t.Helper()
	all := w.host("docker port web")
	lines := strings.Split(strings.TrimSpace(all.text), "\n")
	w.check(len(lines) == 4 && all.has("8000/tcp -> 0.0.0.0:18000", "8000/tcp -> [::]:18001"), "`docker port` lists all.", all)
	for _, form := range []string{"docker port web 8000", "docker port web 8000/tcp"} {
		s := w.host(form)
		w.check(s.has("0.0.0.0:18000", "0.0.0.0:18001"), "`docker port` tells where one port of the container is, with and without its protocol.", s)
	}
}

// samePorts is what all clients print for docker port: those before 23.0 don't sort,
// and write IPv6 addresses without brackets.
func samePorts(out string) string {
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(out, ":::", "[::]:")), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// freePort fetches from the port that Docker chose.
func (w *walk) freePort(name, flag string) {
	w.t.Helper()
	w.hello(name, flag)
	port := w.hostPort(w.host("docker port " + name + " 8000"))
	s := w.lan("curl -s http://192.0.2.1:" + port + "/")
	w.check(s.is(name+" greets 192.0.2.10"), "A neighbour fetches from the port that `"+flag+"` got.", s)
}

// hostPort is the port of the first line of docker port.
func (w *walk) hostPort(s said) string {
	w.t.Helper()
	line, _, _ := strings.Cut(s.text, "\n")
	return line[strings.LastIndex(line, ":")+1:]
}

const refused = "|| echo exit code $?"

func (w *walk) publishedSomewhere() {
	w.exercise("Published on one address", "A port is open only where it is published: on one address of the host, or on its loopback.", func() {
		w.hello("some", "-p 192.0.2.1::8000")
		some := w.host("docker port some")
		w.hello("here", "-p 192.0.2.1:8080:8000")
		here := w.host("docker port here")
		w.check(here.is("8000/tcp -> 192.0.2.1:8080"), "`docker port` tells the address.", here)
		w.carriesFetches(2, func() {
			s := w.lan("curl -s http://192.0.2.1:" + w.hostPort(some) + "/")
			w.check(s.is("some greets 192.0.2.10"), "A neighbour fetches from the port that `-p 192.0.2.1::8000` got.", s)
			s = w.lan("curl -s http://192.0.2.1:8080/")
			w.check(s.is("here greets 192.0.2.10"), "A neighbour fetches from the port of `-p 192.0.2.1:8080:8000`.", s)
		})
		s := w.host("curl -s http://127.0.0.1:8080/ " + refused)
		w.check(s.is("exit code 7"), "The other address refuses the connection.", s)
		w.hello("local", "-p 127.0.0.1:8081:8000")
		w.passes(perFetch, func() {
			s = w.host("curl -s http://127.0.0.1:8081/")
			w.check(s.is("local greets 172.17.0.1"), "A port on the loopback is for the host itself.", s)
		})
		s = w.lan("curl -s http://192.0.2.1:8081/ " + refused)
		w.check(s.is("exit code 7"), "Neighbours are refused there.", s)
	})
}
