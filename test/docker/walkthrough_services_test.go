// SPDX-License-Identifier: Apache-2.0

package docker

import "fmt"

const proxyConf = `server {
    listen 80;
    location / {
        proxy_pass http://web/;
    }
    location /python/ {
        proxy_pass http://python:8000/;
    }
}
`

const helloInPython = `import http.server

class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"Python greets {self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", len(text))
        self.end_headers()
        self.wfile.write(text)

http.server.ThreadingHTTPServer(("", 8000), Hello).serve_forever()
`

func (w *walk) proxy() {
	w.exercise("A proxy in front of two web servers", "nginx hands requests to a program in Python and to another nginx, by name. All three are published.", func() {
		w.file("proxy.conf", proxyConf)
		w.file("hello.py", helloInPython)
		w.host(createFront)
		w.host(`docker run -d --name python --network front -p 8001:8000 -v "$PWD"/hello.py:/hello.py python python3 /hello.py`)
		w.host("docker run -d --name web --network front -p 8002:80 nginx")
		w.host(`docker run -d --name proxy --network front -p 8000:80 -v "$PWD"/proxy.conf:/etc/nginx/conf.d/default.conf nginx`)
		w.listens("python", "8000")
		w.listens("web", "80")
		w.listens("proxy", "80")
		// Two requests are made twice: to the proxy, and by it.
		w.carriesFetches(6, func() {
			s := w.lan("curl -s http://192.0.2.1:8000/")
			w.check(s.is("Welcome to nginx!"), "The proxy fetches the page of the second web server.", s)
			s = w.lan("curl -s http://192.0.2.1:8000/python/")
			w.check(s.is("Python greets 10.20.0.4"), "The program in Python sees the proxy's address.", s)
			s = w.lan("curl -s http://192.0.2.1:8001/")
			w.check(s.is("Python greets 192.0.2.10"), "By its own port it sees the neighbour's.", s)
			s = w.lan("curl -s http://192.0.2.1:8002/")
			w.check(s.is("Welcome to nginx!"), "The second web server answers on its own port.", s)
		})
	})
}

const counterProgram = `import http.server, socket

class Counter(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with socket.create_connection(("redis", 6379)) as redis:
            redis.sendall(b"INCR hits\r\n")
            hits = redis.makefile().readline().strip(":\n")
        text = f"This page has been seen {hits} times.\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", len(text))
        self.end_headers()
        self.wfile.write(text)

http.server.ThreadingHTTPServer(("", 5000), Counter).serve_forever()
`

func (w *walk) counter() {
	w.exercise("A counter with a database", "A web application keeps its count in Redis, which it knows by name and nobody else reaches.", func() {
		w.file("counter.py", counterProgram)
		w.host(createFront)
		w.host("docker run -d --name redis --network front redis")
		w.host(`docker run -d --name counter --network front -p 5000:5000 -v "$PWD"/counter.py:/counter.py python python3 /counter.py`)
		w.listens("redis", "6379")
		w.listens("counter", "5000")
		w.carriesFetches(6, func() {
			for i, from := range []func(string) said{w.lan, w.far, w.lan} {
				s := from("curl -s http://192.0.2.1:5000/")
				w.check(s.is(fmt.Sprintf("This page has been seen %d times.", i+1)), "The count goes up with each request, from a neighbour and from outside.", s)
			}
		})
		s := w.lan("curl -s http://192.0.2.1:6379/ " + refused)
		w.check(s.is("exit code 7"), "Redis isn't reached through the host.", s)
	})
}
