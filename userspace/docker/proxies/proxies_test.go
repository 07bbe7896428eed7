// SPDX-License-Identifier: Apache-2.0

package proxies

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/model"
)

const line = "/usr/bin/docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80"

func held(port uint16, target string) facts.Held {
	return facts.Held{
		PublishedPort: model.PublishedPort{Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: netip.IPv4Unspecified(), HostPort: port},
		Target:        netip.MustParseAddr(target),
	}
}

func TestParse(t *testing.T) {
	for text, ok := range map[string]bool{
		line: true, line + " -use-listen-fd": true, strings.ReplaceAll(line, " -", " --"): true,
		strings.Replace(line, "docker-proxy", "other", 1): false,
		strings.Replace(line, "8080", "80800", 1):         false,
		strings.Replace(line, "tcp", "icmp", 1):           false,
		strings.TrimSuffix(line, " -container-port 80"):   false,
		"docker-proxy": false,
		"":             false,
	} {
		got, parsed := Parse(strings.Split(text, " "))
		if parsed != ok || ok && got != held(8080, "172.17.0.2") {
			t.Errorf("%q: %+v, %t, want %t", text, got, parsed, ok)
		}
	}
}

// proxy starts a process with the arguments of one.
func proxy(t *testing.T, port string) *exec.Cmd {
	t.Helper()
	// A shell leaves the arguments behind its script alone.
	cmd := exec.Command("/bin/sh")
	cmd.Args = append([]string{Name, "-c", "read x", Name}, strings.Fields(strings.Replace(line, "8080", port, 1))[1:]...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	return cmd
}

func TestScanAndSync(t *testing.T) {
	cmd := proxy(t, "18080")
	want := held(18080, "172.17.0.2")
	var found map[int]facts.Held
	// The kernel shows the arguments some time after execve(2) has closed the
	// descriptors, by which Start knows.
	for deadline := time.Now().Add(time.Minute); found[cmd.Process.Pid] != want; {
		var err error
		if found, err = Scan(); err != nil || time.Now().After(deadline) {
			t.Fatalf("found %+v, %v, want %+v", found, err, want)
		}
	}
	tb := NewTable()
	tb.Sync(found, func(facts.Held) bool { return false })
	// Somebody who is gone by now, and one that the engine still lists.
	tb.Hold(1<<22+1, held(18081, "172.17.0.3"))
	tb.Hold(1<<22+2, held(18082, "172.17.0.4"))
	tb.Sync(found, func(h facts.Held) bool { return h.HostPort == 18082 })
	all := tb.All()
	ours := all[:0]
	for _, h := range all {
		if h.HostPort >= 18080 && h.HostPort <= 18082 {
			ours = append(ours, h)
		}
	}
	if len(ours) != 2 || ours[0] != want || ours[1].HostPort != 18082 {
		t.Errorf("after the sync: %+v", ours)
	}
}

// A port that another process took over isn't released by the former owner.
func TestRelease(t *testing.T) {
	tb := NewTable()
	first, second := held(80, "172.17.0.2"), held(80, "172.17.0.3")
	tb.Hold(1, first)
	tb.Hold(2, second)
	tb.Release(1, first.PublishedPort)
	if all := tb.All(); len(all) != 1 || all[0] != second {
		t.Errorf("after the release by the former owner: %+v", all)
	}
	tb.Release(2, second.PublishedPort)
	tb.Release(2, second.PublishedPort)
	if all := tb.All(); len(all) != 0 {
		t.Errorf("after both releases: %+v", all)
	}
	// The list of containers shows it for a moment.
	if p := tb.Proxied(); !p(second.PublishedPort) || p(held(81, "172.17.0.3").PublishedPort) {
		t.Error("a port that was released counts as one without a proxy")
	}
	tb.Sync(nil, func(facts.Held) bool { return true })
	if tb.Proxied()(second.PublishedPort) {
		t.Error("a port that was released counts as one with a proxy after the next scan")
	}
}
