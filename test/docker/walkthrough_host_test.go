// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"os/exec"
	"syscall"

	"github.com/fairway-project/fairway/test/harness"
)

func (w *walk) byHand() {
	w.exercise("Namespaces by hand", "What an operator makes with ip(8) beside Docker goes on as it was, whatever containers do.", func() {
		w.t.Cleanup(w.removeByHand)
		for _, command := range []string{
			"ip link add hand0 type bridge",
			"ip addr add 10.99.0.254/24 dev hand0",
			"ip link set hand0 up",
		} {
			w.host(command)
		}
		w.connectByHand("red", "10.99.0.1/24")
		w.connectByHand("blue", "10.99.0.2/24")
		const reach = "ip netns exec red ping -c 3 -i 0.2 -q 10.99.0.2"
		alone := w.host(reach)
		w.hello("web", "-p 8080:8000")
		var beside, host, after said
		w.carries(0, "what was made by hand is no container's", func() {
			beside = w.host(reach)
			host = w.host("ping -c 3 -i 0.2 -q 10.99.0.1")
		})
		w.carriesFetches(1, func() {
			s := w.lan("curl -s http://192.0.2.1:8080/")
			w.check(s.is("web greets 192.0.2.10"), "The container's port is reached.", s)
		})
		w.host("docker rm -f web")
		after = w.host(reach)
		all := alone.has("3 received") && beside.has("3 received") && host.has("3 received") && after.has("3 received")
		w.check(all, "The namespaces reach each other, and the host them, before, beside and after a container.", alone, beside, host, after)
		w.host("ip netns del red && ip netns del blue && ip link del hand0")
	})
}

// connectByHand makes a namespace with a veth to the bridge.
func (w *walk) connectByHand(name, address string) {
	w.t.Helper()
	for _, command := range []string{
		"ip netns add " + name,
		"ip link add " + name + "0 type veth peer name eth0 netns " + name,
		"ip link set " + name + "0 master hand0 up",
		"ip netns exec " + name + " ip addr add " + address + " dev eth0",
		"ip netns exec " + name + " ip link set eth0 up",
	} {
		w.host(command)
	}
}

// removeByHand is for exercises that broke off.
func (w *walk) removeByHand() {
	for _, name := range []string{"red", "blue"} {
		_ = exec.Command("ip", "netns", "del", w.page.stable.prefix+name).Run()
	}
	_, _ = w.Host.Output("ip", "link", "del", "hand0")
}

func (w *walk) otherAddresses() {
	w.exercise("Another subnet for docker0", "`bip` in daemon.json moves the default bridge.", func() {
		const config = `{"dns": ["` + harness.WANIP4 + `"], "bip": "10.30.0.1/16"}`
		w.configure(config)
		w.page.file("/etc/docker/daemon.json", config+"\n")
		w.end(syscall.SIGTERM)
		w.start()
		w.page.command("host", "systemctl restart docker", "")
		s := w.host("ip -4 addr show docker0 | grep inet")
		w.check(s.has("inet 10.30.0.1/16"), "docker0 has the address.", s)
		w.hello("web", "-p 18000:8000")
		w.carries(6, "three requests and three replies", func() {
			s := w.host("docker exec web ping -c 3 -i 0.2 198.51.100.10")
			w.check(s.has("3 packets received"), "A container reaches the server outside.", s)
		})
		w.carriesFetches(2, func() {
			s := w.lan("curl -s http://192.0.2.1:18000/")
			w.check(s.is("web greets 192.0.2.10"), "A neighbour fetches from its published port.", s)
			s = w.host("docker run --rm busybox wget -q -O - http://10.30.0.2:8000/")
			w.check(s.is("web greets 10.30.0.3"), "Another container fetches from it.", s)
		})
	})
}
