// SPDX-License-Identifier: Apache-2.0

package docker

func (w *walk) links() {
	w.exercise("Links", "On the default bridge a container knows others by name only where it is linked to them.", func() {
		w.hello("db", "")
		w.hello("web", "--link db:database")
		w.carriesFetches(2, func() {
			for _, name := range []string{"database", "db"} {
				s := w.host("docker exec web wget -q -O - http://" + name + ":8000/")
				w.check(s.is("db greets 172.17.0.3"), "`web` reaches `db` by its name and by the link's.", s)
			}
		})
		s := w.fails("docker exec db wget -q -O - http://web:8000/")
		w.check(s.has("bad address"), "`db` doesn't know `web`: a link is one-way.", s)
	})
}

const createFront = "docker network create --subnet 10.20.0.0/24 front"

func (w *walk) namesOnNetwork() {
	w.exercise("Names on a network of one's own", "There all containers know each other, by name and by alias.", func() {
		w.host(createFront)
		w.hello("one", "--network front")
		w.hello("two", "--network front --network-alias web --network-alias db")
		w.carriesFetches(4, func() {
			for _, name := range []string{"two", "web", "db"} {
				s := w.host("docker exec one wget -q -O - http://" + name + ":8000/")
				w.check(s.is("two greets 10.20.0.2"), "`one` reaches `two` by its name and by both of its aliases.", s)
			}
			s := w.host("docker exec two wget -q -O - http://one:8000/")
			w.check(s.is("one greets 10.20.0.3"), "`two` reaches `one`.", s)
		})
		w.carries(2, "a request and a reply, while the names needed none", func() {
			s := w.host("docker exec one ping -c 1 two")
			w.check(s.has("PING two (10.20.0.3)", "1 packets received"), "`one` pings `two` by name.", s)
		})
	})
}

func (w *walk) namesFromOutside() {
	w.exercise("Host names and name servers", "What a container is called, a line for its /etc/hosts, and whom it asks for names.", func() {
		s := w.host("docker run --rm --hostname box busybox hostname")
		w.check(s.is("box"), "`--hostname` is the container's own name.", s)
		w.carries(2, "a request and a reply", func() {
			s := w.host("docker run --rm --add-host printer:192.0.2.10 busybox ping -c 1 printer")
			w.check(s.has("PING printer (192.0.2.10)", "1 packets received"), "A name of `--add-host` leads to its address.", s)
		})
		w.page.says("The neighbour at 192.0.2.10 is a name server that knows `shop.example`; the one that is usually asked doesn't:")
		s = w.fails("docker run --rm busybox wget -q -O - http://shop.example/")
		w.check(s.has("bad address"), "Another name server doesn't know the name.", s)
		w.carriesFetches(2, func() {
			s := w.host("docker run --rm --dns 192.0.2.10 busybox wget -q -O - http://shop.example/")
			w.check(s.is("the server outside greets 192.0.2.1"), "With `--dns` the name leads to the server outside.", s)
			w.host(createFront)
			s = w.host("docker run --rm --network front --dns 192.0.2.10 busybox wget -q -O - http://shop.example/")
			w.check(s.is("the server outside greets 192.0.2.1"), "So it does where Docker's own name server is in between.", s)
		})
		s = w.host("docker run --rm --network front --dns 192.0.2.10 busybox grep ^nameserver /etc/resolv.conf")
		w.check(s.is("nameserver 127.0.0.11"), "Docker's own name server is the one that is asked there.", s)
	})
}
