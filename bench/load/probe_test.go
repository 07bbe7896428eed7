// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/netns"
)

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	must(t, err)
	return n
}

func TestProbeFindsTheMoment(t *testing.T) {
	e := newEnds(t)
	target := netip.AddrPortFrom(e.address, 7000)
	for _, ns := range []string{"", e.clientNS} {
		must(t, e.client.Probe(t.Context(), Probe{Netns: ns, Target: target, Every: 200 * time.Microsecond, Timeout: 10 * time.Second}))
		time.Sleep(20 * time.Millisecond)
		begun := Clock()
		server := start(t, e.serverNS)
		_, err := server.Serve(t.Context(), Service{Kind: CRR, Addr: target, Flows: 1})
		must(t, err)
		served := Clock()
		a, err := e.client.Await(t.Context())
		must(t, err)
		if a.At < begun || a.At > served+time.Second || a.Attempts < 10 {
			t.Errorf("served between %v and %v, answered at %v to attempt %d", begun, served, a.At, a.Attempts)
		}
		must(t, server.Close())
	}
}

func TestProbeOfWhatIsThere(t *testing.T) {
	e := newEnds(t)
	err := e.client.Probe(t.Context(), Probe{Target: e.serve(t, CRR, e.address, 1), Every: time.Second, Timeout: time.Second})
	if err == nil || !strings.Contains(err.Error(), "before anything") {
		t.Errorf("got %v", err)
	}
}

func TestEarlyProbe(t *testing.T) {
	e := newEnds(t)
	begun := Clock()
	must(t, e.client.Probe(t.Context(), Probe{
		Target: e.serve(t, CRR, e.address, 1), Every: time.Second, Timeout: 10 * time.Second, Early: true,
	}))
	a, err := e.client.Await(t.Context())
	must(t, err)
	if a.At < begun || a.Attempts < 1 {
		t.Errorf("begun at %v, answered at %v to attempt %d", begun, a.At, a.Attempts)
	}
}

func TestProbeGivesUp(t *testing.T) {
	e := newEnds(t)
	for _, target := range []string{"192.0.2.2:9", "192.0.2.99:9", "203.0.113.1:9"} {
		must(t, e.client.Probe(t.Context(), Probe{
			Target: netip.MustParseAddrPort(target), Every: time.Millisecond, Timeout: 50 * time.Millisecond,
		}))
		if a, err := e.client.Await(t.Context()); err == nil {
			t.Errorf("%s answered: %+v", target, a)
		}
	}
}

func TestProbeOfWhatGoes(t *testing.T) {
	e := newEnds(t)
	server := start(t, e.serverNS)
	target := netip.AddrPortFrom(e.address, 7001)
	_, err := server.Serve(t.Context(), Service{Kind: CRR, Addr: target, Flows: 2})
	must(t, err)
	must(t, e.client.Probe(t.Context(), Probe{Target: target, Every: 200 * time.Microsecond, Timeout: 10 * time.Second, Gone: true}))
	before := Clock()
	must(t, server.Close())
	after := Clock()
	a, err := e.client.Await(t.Context())
	must(t, err)
	if a.At < before-time.Second || a.At > after || a.Attempts <= failures {
		t.Errorf("ended between %v and %v, answered last at %v, %d attempts", before, after, a.At, a.Attempts)
	}
}

func TestHTTP(t *testing.T) {
	e := newEnds(t)
	at, err := e.client.Serve(t.Context(), Service{Kind: HTTP, Netns: e.serverNS, Addr: netip.AddrPortFrom(e.address, 0)})
	must(t, err)
	must(t, netns.Do(e.clientNS, func() error {
		conn, err := net.Dial("tcp", at.String())
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: web\r\n\r\n")); err != nil {
			return err
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return err
		}
		if answer.StatusCode != http.StatusNoContent {
			return fmt.Errorf("status %s", answer.Status)
		}
		return answer.Body.Close()
	}))
}
