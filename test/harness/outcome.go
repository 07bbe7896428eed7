// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"errors"
)

// Outcome is the class of what a client experienced.
type Outcome string

// The outcomes of connecting.
const (
	OK          Outcome = "ok"
	Reset       Outcome = "reset"
	Unreachable Outcome = "unreachable"
	Nothing     Outcome = "silence"
)

// Classify names what an error of a client means.
func Classify(err error) Outcome {
	switch {
	case err == nil:
		return OK
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return Reset
	case IsTimeout(err):
		return Nothing
	}
	return Unreachable
}

// Probe is one way of talking to an address.
type Probe func(n *Netns, dst string, opts ...DialOption) (Reply, error)

// Probes are the transports that walks are made with, by name.
func Probes() map[string]Probe { return map[string]Probe{"tcp": GetTCP, "udp": GetUDP} }

// Reaches demands that the namespace gets an answer of the server named tag
// from dst over TCP and UDP, and returns the client's addresses as seen there.
func Reaches(t testing.TB, n *Netns, host string, port int, tag string) map[string]Reply {
	t.Helper()
	replies := map[string]Reply{}
	for name, probe := range Probes() {
		dst := net.JoinHostPort(host, strconv.Itoa(port))
		r, err := probe(n, dst)
		switch {
		case err != nil:
			t.Errorf("%s → %s over %s: %v", n.Name, dst, name, err)
		case r.Tag != tag:
			t.Errorf("%s → %s over %s: answered by %q, want %q", n.Name, dst, name, r.Tag, tag)
		}
		replies[name] = r
	}
	return replies
}

// Misses demands that the namespace gets no answer from dst over TCP or UDP.
func Misses(t testing.TB, n *Netns, host string, port int) {
	t.Helper()
	dst := net.JoinHostPort(host, strconv.Itoa(port))
	done := make(chan string, 2)
	for name, probe := range Probes() {
		go func() {
			if r, err := probe(n, dst, Within(Silence)); err == nil {
				done <- name + ": answered by " + r.Tag
				return
			}
			done <- ""
		}()
	}
	for range 2 {
		if got := <-done; got != "" {
			t.Errorf("%s → %s must not be possible; over %s", n.Name, dst, got)
		}
	}
}

// Ping sends one echo request and waits for the reply. Further arguments are
// those of ping(8).
func Ping(n *Netns, dst string, args ...string) error {
	_, err := n.Output("ping", append(append([]string{"-n", "-c1", "-W20"}, args...), dst)...)
	return err
}

// NoPing demands that an echo request gets no reply.
func NoPing(t testing.TB, n *Netns, dst string) {
	t.Helper()
	_, err := n.Output("ping", "-n", "-c1", "-W0.4", dst)
	var exit *exec.ExitError
	if err == nil {
		t.Errorf("%s: ping %s must not be answered", n.Name, dst)
	} else if !errors.As(err, &exit) {
		t.Fatal(err)
	}
}
