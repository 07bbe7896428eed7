// SPDX-License-Identifier: Apache-2.0

package docker

import "fmt"

const createMynet = "docker network create --driver bridge --subnet 192.168.0.0/16 --gateway 192.168.0.1 mynet"

func (w *walk) ownNetwork() {
	w.exercise("A network of one's own", "A network with a chosen subnet and gateway, and a container with a chosen address.", func() {
		w.host(createMynet)
		s := w.host("docker network ls")
		w.check(s.has("mynet", "bridge", "host", "none"), "The network is listed beside Docker's own three.", s)
		s = w.host("docker network inspect -f '{{.Driver}} {{json .IPAM.Config}}' mynet")
		w.check(s.is(`bridge [{"Subnet":"192.168.0.0/16","Gateway":"192.168.0.1"}]`), "It has the subnet and the gateway.", s)
		w.hello("web", "--network mynet --ip 192.168.0.101")
		s = w.host("docker network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' mynet")
		w.check(s.is("web 192.168.0.101/16"), "The container has the address.", s)
		s = w.host("docker exec web route -n")
		w.check(s.has("0.0.0.0         192.168.0.1 "), "Its default route leads to the gateway.", s)
		w.carries(6, "three requests and three replies", func() {
			s := w.host("docker run --rm --network mynet busybox ping -c 3 -i 0.2 192.168.0.101")
			w.check(s.has("3 packets received"), "Another container pings it there.", s)
		})
	})
}

func (w *walk) twoNetworks() {
	w.exercise("Two networks", "Two bridge networks have no path between them, until a container is in both.", func() {
		w.host(createMynet)
		w.hello("one", "")
		w.hello("two", "--network mynet --ip 192.168.0.101")
		w.apart("No packet passes between the networks: the request is dropped, and counted as isolated.")
		w.page.says("Connected to the other network, `one` has a second interface:")
		w.host("docker network connect --ip 192.168.0.102 mynet one")
		s := w.host("docker exec one ip -4 addr show eth1")
		w.check(s.has("inet 192.168.0.102/16"), "`one` has an interface with the address that was asked for.", s)
		w.carries(2, "a request and a reply", func() {
			s := w.host("docker exec one ping -c 1 192.168.0.101")
			w.check(s.has("1 packets received"), "From there it pings `two`.", s)
		})
		w.carriesFetches(1, func() {
			s := w.host("docker exec one wget -q -O - http://192.168.0.101:8000/")
			w.check(s.is("two greets 192.168.0.102"), "`one` fetches from `two`, which sees the new address.", s)
		})
		w.page.says("Disconnected, it has none again:")
		w.host("docker network disconnect mynet one")
		w.apart("No packet passes any more.")
		w.page.says("The address is optional:")
		w.host("docker network connect mynet one")
		w.carries(2, "a request and a reply", func() {
			s := w.host("docker exec one ping -c 1 192.168.0.101")
			w.check(s.has("1 packets received"), "Connected once more, `one` pings `two` again.", s)
		})
	})
}

// apart demands that a request from one to two is dropped, and counted.
func (w *walk) apart(what string) {
	w.t.Helper()
	before := w.Drops(w.t)["isolated"]
	w.carries(0, "the path is closed", func() {
		s := w.fails("docker exec one ping -c 1 -W 1 192.168.0.101")
		after := w.Drops(w.t)["isolated"]
		w.check(s.has("0 packets received") && after == before+1, what, s, said{text: fmt.Sprintf("isolated: %d, then %d", before, after)})
	})
}
