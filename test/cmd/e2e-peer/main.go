// SPDX-License-Identifier: Apache-2.0

// Command e2e-peer is what sandboxes of the end-to-end tests run: servers and
// clients that depend on nothing but the sandbox's own files and sockets. Variables of the
// environment in TAG are replaced.
//
//	e2e-peer serve PORT TAG   echo server, TCP and UDP, both families
//	e2e-peer web PORT TAG     HTTP server that answers as the echo server greets
//	e2e-peer linger PORT TAG  web that ends at SIGTERM as servers should: /hold is answered
//	                          then, and it ends when nobody has asked for a while
//	e2e-peer fetch HOST:PORT  connects by name, prints the server's greeting
//	e2e-peer lookup NAME      prints the addresses that the resolver gives
//	e2e-peer exit CODE        ends with this code
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "e2e-peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "serve":
		return serve(args[1], os.ExpandEnv(args[2]))
	case len(args) == 3 && args[0] == "web":
		return web(args[1], os.ExpandEnv(args[2]))
	case len(args) == 3 && args[0] == "linger":
		return linger(args[1], os.ExpandEnv(args[2]))
	case len(args) == 2 && args[0] == "fetch":
		return fetch(args[1])
	case len(args) == 2 && args[0] == "lookup":
		return lookup(args[1])
	case len(args) == 2 && args[0] == "exit":
		code, err := strconv.Atoi(args[1])
		if err == nil {
			os.Exit(code)
		}
		return err
	}
	return errors.New("want serve PORT TAG, web PORT TAG, linger PORT TAG, fetch HOST:PORT, lookup NAME or exit CODE")
}

// serve prints "ready" once all sockets are open and then serves for ever.
func serve(port, tag string) error {
	for _, family := range []struct{ name, any string }{{"4", "0.0.0.0"}, {"6", "::"}} {
		addr := net.JoinHostPort(family.any, port)
		l, err := net.Listen("tcp"+family.name, addr)
		if err != nil {
			return err
		}
		pc, err := net.ListenPacket("udp"+family.name, addr)
		if err != nil {
			return err
		}
		go serveTCP(l, tag)
		go serveUDP(pc, tag)
	}
	fmt.Println("ready")
	select {}
}

// web prints "ready" and serves for ever.
func web(port, tag string) error {
	l, err := net.Listen("tcp", net.JoinHostPort("", port))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s\n", tag, r.RemoteAddr)
	}))
}

// quiet is how long nobody may ask before linger ends.
const quiet = 2 * time.Second

func linger(port, tag string) error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	asked, ending := make(chan struct{}), make(chan struct{})
	server := &http.Server{Addr: net.JoinHostPort("", port), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			<-ending
		} else {
			asked <- struct{}{}
		}
		fmt.Fprintf(w, "%s %s\n", tag, r.RemoteAddr)
	})}
	go func() {
		var silence <-chan time.Time
		for {
			select {
			case <-asked:
			case <-ended:
				close(ending)
				silence = time.After(quiet)
				continue
			case <-silence:
				_ = server.Shutdown(context.Background())
				os.Exit(0)
			}
			if silence != nil {
				silence = time.After(quiet)
			}
		}
	}()
	fmt.Println("ready")
	return server.ListenAndServe()
}

func serveTCP(l net.Listener, tag string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			fmt.Fprintf(c, "%s %s\n", tag, c.RemoteAddr())
			_, _ = io.Copy(c, c)
		}()
	}
}

func serveUDP(pc net.PacketConn, tag string) {
	buf := make([]byte, 65536)
	for {
		n, peer, err := pc.ReadFrom(buf)
		if err != nil {
			continue
		}
		_, _ = pc.WriteTo(fmt.Appendf(nil, "%s %s %s", tag, peer, buf[:n]), peer)
	}
}

func fetch(addr string) error {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	fmt.Print(line)
	return err
}

func lookup(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	addrs, err := (&net.Resolver{PreferGo: true}).LookupHost(ctx, name)
	slices.Sort(addrs)
	for _, a := range addrs {
		fmt.Println(a)
	}
	return err
}
