// SPDX-License-Identifier: Apache-2.0

package listeners

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/fairway-project/fairway/test/root"
)

// plays marks a process that is started by the tests.
const plays = "FAIRWAY_TEST_PLAYS"

// TestMain runs the tests in a network namespace of their own, where no other engine is.
func TestMain(m *testing.M) {
	if os.Getenv(plays) != "" {
		os.Exit(play())
	}
	os.Exit(root.InNetwork(m))
}

// The ports of the engine: one that it publishes and serves itself, one that a proxy
// serves, and its API's.
const published, proxied, api = "127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:2375"

// play listens as dockerd does until its standard input ends, and accepts nothing. Under
// any other name it only waits.
func play() int {
	for _, at := range []string{published, proxied, api} {
		if os.Args[0] != "dockerd" {
			break
		}
		l, err := net.Listen("tcp4", at)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer l.Close()
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// start starts a process with these arguments, its name first, and waits until it is ready.
func start(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.Env = args, append(os.Environ(), plays+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("%s: %q, %v", args[0], line, err)
	}
}

// ends reports whether a connection is refused or ended by the other side. One that the
// kernel completed and nobody serves is neither.
func ends(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := c.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func dial(t *testing.T, at string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp4", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestRefuse(t *testing.T) {
	l := New()
	defer l.Close()
	ports := []netip.AddrPort{netip.MustParseAddrPort(published), netip.MustParseAddrPort(proxied), netip.MustParseAddrPort("127.0.0.1:9")}
	if err := l.Refuse(ports); err != nil {
		t.Errorf("without an engine: %v", err)
	}
	start(t, "dockerd")
	start(t, "docker-proxy", "-proto", "tcp", "-host-ip", "127.0.0.1", "-host-port", "8081", "-container-ip", "172.17.0.2", "-container-port", "80")
	waiting := dial(t, published)
	served := dial(t, proxied)
	for range 2 {
		if err := l.Refuse(ports); err != nil {
			t.Fatal(err)
		}
		if !ends(waiting) {
			t.Error("what waited in the engine's socket goes on waiting")
		}
		if c, err := net.Dial("tcp4", published); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a new connection: %v, %v, want a refusal", c, err)
		}
	}
	if c, err := net.Listen("tcp4", published); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("another program's socket: %v, %v", c, err)
	}
	dial(t, proxied)
	dial(t, api)
	_ = served.SetReadDeadline(time.Now())
	if _, err := served.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection that a proxy serves: %v", err)
	}
}
