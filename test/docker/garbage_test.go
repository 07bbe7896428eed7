// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/test/harness"
)

// with is a tuple with other values.
func with(port string, values ...string) []string {
	args := tuple(port)
	for i := 0; i+1 < len(values); i += 2 {
		args[slices.Index(args, values[i])+1] = values[i+1]
	}
	return args
}

// What no engine says is refused with a reason, before anything is held or told.
func TestShimRefusesBadArguments(t *testing.T) {
	d, port := newFakeDaemon(t, 200, "{}"), freePort(t)
	long := strings.Repeat("1", 70000)
	for _, args := range [][]string{
		nil, {""}, {"-"}, {"--"}, {"-proto"}, tuple(port)[:8], tuple(port)[:9], append([]string{"x"}, tuple(port)...),
		with(port, "-proto", ""), with(port, "-proto", "icmp"), with(port, "-proto", "tcp6"), with(port, "-proto", "TCP"),
		with(port, "-host-ip", ""), with(port, "-host-ip", "127.0.0.1:80"), with(port, "-host-ip", "localhost"), with(port, "-host-ip", long), with(port, "-host-ip", "1.2.3"),
		with(port, "-host-port", ""), with(port, "-host-port", "0"), with(port, "-host-port", "-1"), with(port, "-host-port", "65536"),
		with(port, "-host-port", "4294967376"), with(port, "-host-port", "80x"), with(port, "-host-port", " 80"), with(port, "-host-port", long),
		with(port, "-container-ip", ""), with(port, "-container-ip", "x"), with(port, "-container-ip", "172.17.0.2\""), with(port, "-container-ip", "::1%lo"),
		with(port, "-container-port", ""), with(port, "-container-port", "0"), with(port, "-container-port", "1e3"), with(port, "-container-port", "65536"),
		append(tuple(port), "-use-listen-fd=maybe"),
	} {
		s := startShim(t, d.socket, nil, args...)
		if !strings.HasPrefix(s.status, "1\n") || len(s.status) < 10 {
			t.Errorf("%.200q: status %q", args, s.status)
			continue
		}
		if err := s.Wait(); s.ProcessState.ExitCode() != 1 {
			t.Errorf("%.200q: %v", args, err)
		}
	}
	if len(d.said) > 0 {
		t.Errorf("said: %s", told(t, d))
	}
}

// A descriptor that isn't the port's socket is refused: nobody would hold the port.
func TestShimRefusesBadDescriptors(t *testing.T) {
	d, port := newFakeDaemon(t, 200, "{}"), freePort(t)
	args := append(tuple(port), "-use-listen-fd")
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	other, err := udp.(*net.UDPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for what, f := range map[string]*os.File{"none": nil, "a file": null, "a socket of another protocol": other} {
		if s := startShim(t, d.socket, f, args...); !strings.HasPrefix(s.status, "1\n") || !strings.Contains(s.status, "descriptor 4") {
			t.Errorf("%s: status %q", what, s.status)
		}
	}
	if len(d.said) > 0 {
		t.Errorf("said: %s", told(t, d))
	}
}

// Whatever is at the daemon's socket, the container starts, and the port is held; a refusal
// only counts if it is one.
func TestShimBesideABadDaemon(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, socket := range map[string]string{
		"a path that is too long": long, "a file": file, "a directory": t.TempDir(),
		"nonsense": babbler(t, "\x00\xff\r\n\r\n"), "nothing": babbler(t, ""), "half an answer": babbler(t, "HTTP/1.1 "),
		"a status without end": babbler(t, "HTTP/1.1 "+strings.Repeat("9", 100000)),
	} {
		port := freePort(t)
		s := startShim(t, socket, nil, tuple(port)...)
		if s.status != "0\n" {
			t.Errorf("%s: status %q", what, s.status)
			continue
		}
		refuses(t, port)
		s.end(t, syscall.SIGINT)
	}
	for _, answer := range []string{"", "{", `{"error":`, `{"error":"`, strings.Repeat("x", 100000), `{"error":"` + strings.Repeat("%s%n", 2000) + `"}`} {
		d := newFakeDaemon(t, 500, answer)
		s := startShim(t, d.socket, nil, tuple(freePort(t))...)
		if !strings.HasPrefix(s.status, "1\nfairway: ") || len(s.status) > 1024 {
			t.Errorf("refused by %.40q: status %.100q", answer, s.status)
		}
	}
}

// babbler is a socket at which everybody is told the text, and the connection ended.
func babbler(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(harness.Patience))
			_, _ = c.Write([]byte(text))
			c.Close()
		}
	}()
	return path
}

// An engine that has closed its end, or never gave one, is no reason to give the port up.
func TestShimWithoutStatus(t *testing.T) {
	d, port := newFakeDaemon(t, 200, "{}"), freePort(t)
	s := startShimUnder(t, []string{"sh", "-c", `exec 3>&-; exec "$@"`, "sh"}, d.socket, nil, tuple(port)...)
	told(t, d)
	// It takes the port after it was told that it may, tells nobody here, and waits.
	harness.Eventually(t, "the shim to wait for a signal", func() error {
		call, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", s.Process.Pid))
		if err == nil && !strings.HasPrefix(string(call), fmt.Sprintf("%d ", unix.SYS_RT_SIGSUSPEND)) {
			err = fmt.Errorf("it is in system call %s", call)
		}
		return err
	})
	refuses(t, port)
	s.end(t, syscall.SIGINT)
}
