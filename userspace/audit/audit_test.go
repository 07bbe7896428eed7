// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/model"
)

const id = "0123456789abcdef0123456789abcdef"

// everything logs each message with all of its attributes.
func everything(l *Log) {
	code := 3
	n := &model.Network{ID: id, Name: "front", Driver: model.DriverBridge,
		IPv4: &model.Subnet{Prefix: netip.MustParsePrefix("172.20.0.0/16")}, IPv6: &model.Subnet{Prefix: netip.MustParsePrefix("fd00::/64")}}
	n.Bridge.Name = "br-012345678901"
	sb := &model.Sandbox{ID: id, Name: "web", Adopted: true, Netns: "/run/netns/x", State: model.State{ExitCode: &code, Error: "killed"}}
	e := Endpoint{ID: id, Sandbox: "web", Network: "front", IPv4: netip.MustParseAddr("172.20.0.2"), IPv6: netip.MustParseAddr("fd00::2")}
	l.NetworkCreated(n)
	l.SandboxRun(sb)
	l.EndpointConnected(e)
	l.Ports("web", nil, ports("0.0.0.0", 8080, 80, 1))
	l.Ports("web", ports("0.0.0.0", 8080, 80, 1), nil)
	l.EndpointDisconnected(e)
	l.SandboxEnded(sb)
	l.SandboxRemoved(sb)
	s := &model.Service{ID: id, Name: "shop", Networks: []model.ServiceNetwork{{IPv4: netip.MustParseAddr("172.20.0.9"), IPv6: netip.MustParseAddr("fd00::9")}}}
	l.ServiceCreated(s)
	l.ServiceUpdated(s, s)
	for _, state := range []model.BackendState{model.BackendActive, model.BackendDraining, model.BackendDown} {
		b := Backend{ServiceID: id, Service: "shop", Name: "web", State: state}
		if state != model.BackendActive {
			b.Reason = "left the service"
		}
		l.BackendChanged(b)
	}
	l.ServiceRemoved(s)
	l.NetworkRemoved(n)
	l.TakenOver(1, 2, 3, 4, 5)
}

func ports(host string, hostPort, port uint16, n int) (all []model.PublishedPort) {
	for i := range uint16(n) {
		all = append(all, model.PublishedPort{HostIP: netip.MustParseAddr(host), HostPort: hostPort + i, Port: model.Port{Num: port + i, Proto: model.TCP}})
	}
	return all
}

func lines(f func(*Log)) []string {
	var text bytes.Buffer
	f(New(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}})), "fairway"))
	return strings.Split(strings.TrimSpace(text.String()), "\n")
}

func TestPortsAreRanges(t *testing.T) {
	was := append(ports("0.0.0.0", 9000, 9000, 3), ports("::", 65535, 80, 1)...)
	is := slices.Concat(ports("0.0.0.0", 9000, 9000, 1), ports("0.0.0.0", 8005, 85, 5), ports("0.0.0.0", 8000, 80, 5), ports("::", 8000, 80, 1), ports("::", 8001, 82, 1))
	got := lines(func(l *Log) { l.Ports("web", was, is) })
	want := []string{
		`msg="port unpublished" owner=fairway sandbox=web port=0.0.0.0:9001-9002->9001-9002/tcp`,
		`msg="port unpublished" owner=fairway sandbox=web port=[::]:65535->80/tcp`,
		`msg="port published" owner=fairway sandbox=web port=0.0.0.0:8000-8009->80-89/tcp`,
		`msg="port published" owner=fairway sandbox=web port=[::]:8000->80/tcp`,
		`msg="port published" owner=fairway sandbox=web port=[::]:8001->82/tcp`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := lines(func(l *Log) { l.Ports("web", is, is); l.TakenOver(0, 0, 0, 0, 0) }); len(got[0]) > 0 {
		t.Errorf("nothing changed: %q", got)
	}
}

var pair = regexp.MustCompile(`(\w+)=("[^"]*"|\S+)`)

// The page for operators has a row for each message, with its attributes.
func TestDocsListTheMessages(t *testing.T) {
	page, err := os.ReadFile("../../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines(everything) {
		var row []string
		var message string
		for _, m := range pair.FindAllStringSubmatch(line, -1) {
			if m[1] == "msg" {
				message = strings.Trim(m[2], `"`)
				continue
			}
			row = append(row, "`"+m[1]+"`")
		}
		want := "| `" + message + "` | " + strings.Join(row, ", ") + " |"
		if !strings.Contains(string(page), want) {
			t.Errorf("docs/logs.md lacks the row\n%s", want)
		}
	}
}
