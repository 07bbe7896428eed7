// SPDX-License-Identifier: Apache-2.0

package docker

func (w *walk) hostMode() {
	w.exercise("Host mode", "A container without a network of its own uses the host's, and its ports as any program of the host would.", func() {
		w.host("docker run -d --name web --network host nginx")
		w.listens("web", "80")
		// What the server sends isn't theirs to see: half of a fetch comes in.
		w.arrives(perFetch/2, func() {
			s := w.lan("curl -s http://192.0.2.1/")
			w.check(s.is("Welcome to nginx!"), "A neighbour fetches from the host's port 80, with nothing published.", s)
		})
		s := w.fails("docker run --rm --network host busybox httpd -f -p 80")
		w.check(s.has("Address already in use"), "A second server on that port doesn't start.", s)
	})
}

const redisClient = `import socket

redis = socket.create_connection(("127.0.0.1", 6379))
redis.sendall(b"SET colour blue\r\nGET colour\r\n")
for line in redis.makefile():
    print(line.strip())
    if line == "blue\n":
        break
`

func (w *walk) containerMode() {
	w.exercise("Container mode", "A container that uses the network of another one reaches it by 127.0.0.1.", func() {
		w.file("client.py", redisClient)
		w.host("docker run -d --name redis redis")
		w.listens("redis", "6379")
		w.carries(0, "it all happens inside", func() {
			s := w.host("docker run -i --rm --network container:redis python python3 - < client.py")
			w.check(s.has("+OK", "blue"), "The client stores and reads a value at 127.0.0.1:6379.", s)
			s = w.host("docker run --rm --network container:redis busybox ip -4 addr show eth0")
			w.check(s.has("inet "+w.ip("redis", "bridge")+"/16"), "It has the other container's interface.", s)
		})
	})
}

func (w *walk) noneMode() {
	w.exercise("None mode", "A container with nothing but a loopback interface.", func() {
		w.carries(0, "there is no way out", func() {
			s := w.host("docker run --rm --network none busybox ip -4 addr")
			w.check(s.has("127.0.0.1/8") && !s.has("eth"), "There is only the loopback interface.", s)
			s = w.fails("docker run --rm --network none busybox ping -c 1 192.0.2.1")
			w.check(s.has("Network is unreachable"), "The host isn't reached.", s)
		})
	})
}

func (w *walk) monitor() {
	w.exercise("A monitor in host mode", "A container on the host's network watches one on a bridge, by its published and by its own address.", func() {
		w.hello("web", "-p 18000:8000")
		w.host("docker run -d --name monitor --network host busybox sleep 1d")
		w.passes(3*perFetch, func() {
			for _, at := range []string{"127.0.0.1:18000", "192.0.2.1:18000", "172.17.0.2:8000"} {
				s := w.host("docker exec monitor wget -q -O - http://" + at + "/")
				w.check(s.is("web greets 172.17.0.1"), "It fetches by the host's loopback, by the host's address, and directly.", s)
			}
		})
	})
}
