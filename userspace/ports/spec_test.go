// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"net/netip"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/model"
)

var compareAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func spec(port uint16, proto model.Proto, ip string, from, to uint16) model.PortSpec {
	s := model.PortSpec{Port: model.Port{Num: port, Proto: proto}, HostPort: from, HostPortEnd: to}
	if ip != "" {
		s.HostIP = netip.MustParseAddr(ip)
	}
	return s
}

func TestParseSpec(t *testing.T) {
	for in, want := range map[string][]model.PortSpec{
		"80":                      {spec(80, model.TCP, "", 0, 0)},
		"80/udp":                  {spec(80, model.UDP, "", 0, 0)},
		"80/SCTP":                 {spec(80, model.SCTP, "", 0, 0)},
		":80":                     {spec(80, model.TCP, "", 0, 0)},
		"0:80":                    {spec(80, model.TCP, "", 0, 0)},
		"8080:80":                 {spec(80, model.TCP, "", 8080, 8080)},
		":8080:80":                {spec(80, model.TCP, "", 8080, 8080)},
		"65535:65535":             {spec(65535, model.TCP, "", 65535, 65535)},
		"127.0.0.1:8080:80":       {spec(80, model.TCP, "127.0.0.1", 8080, 8080)},
		"127.0.0.1::80":           {spec(80, model.TCP, "127.0.0.1", 0, 0)},
		"0.0.0.0::80/udp":         {spec(80, model.UDP, "0.0.0.0", 0, 0)},
		"[::1]:8080:80":           {spec(80, model.TCP, "::1", 8080, 8080)},
		"[::]::80":                {spec(80, model.TCP, "::", 0, 0)},
		"2001:db8::1:8080:80":     {spec(80, model.TCP, "2001:db8::1", 8080, 8080)},
		"[::ffff:192.0.2.1]:1:80": {spec(80, model.TCP, "192.0.2.1", 1, 1)},
		"8000-8010:80":            {spec(80, model.TCP, "", 8000, 8010)},
		"8000-8001:9000-9001/udp": {spec(9000, model.UDP, "", 8000, 8000), spec(9001, model.UDP, "", 8001, 8001)},
		"8000-8000:80-80":         {spec(80, model.TCP, "", 8000, 8000)},
		"9000-9001":               {spec(9000, model.TCP, "", 0, 0), spec(9001, model.TCP, "", 0, 0)},
		"127.0.0.1::9000-9001":    {spec(9000, model.TCP, "127.0.0.1", 0, 0), spec(9001, model.TCP, "127.0.0.1", 0, 0)},
	} {
		got, err := ParseSpec(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		}
		if diff := cmp.Diff(want, got, compareAddr); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
}

func TestParseSpecErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                      `container port "": want a number from 1 to 65535`,
		"80:":                   `container port "": want a number`,
		"0":                     `container port "0": want a number from 1 to 65535`,
		"65536":                 `container port "65536": want a number`,
		"65536:80":              `host port "65536": want a number`,
		"0-10:80":               `host port "0-10": want a number`,
		"http":                  `container port "http": want a number`,
		"-80":                   `container port "-80": want a number`,
		"80/tcpp":               `protocol "tcpp": want tcp, udp or sctp`,
		"80/":                   `protocol "": want tcp, udp or sctp`,
		"80/tcp/udp":            `protocol "tcp/udp": want tcp, udp or sctp`,
		"localhost:8080:80":     `host address "localhost": want an IP address like 127.0.0.1`,
		"1.2.3:8080:80":         `host address "1.2.3": want an IP address`,
		"[::1:8080:80":          `host address "[::1": want an address like [::1]`,
		"[127.0.0.1]:8080:80":   `host address "[127.0.0.1]": want an IP address`,
		"[fe80::1%eth0]:1:80":   `host address "[fe80::1%eth0]": want an IP address`,
		"8000-8010:9000-9005":   `host range 8000-8010 has 11 ports and container range 9000-9005 has 6; want the same number`,
		"8000:9000-9005":        `host range 8000 has 1 ports and container range 9000-9005 has 6; want the same number`,
		"8010-8000:80":          `host port "8010-8000": the range ends before it begins, want 8000-8010`,
		"127.0.0.1:80":          `host port "127.0.0.1": want a number`,
		"8000-8001-8002:80":     `host port "8000-8001-8002": want a number`,
		"80 :80":                `host port "80 ": want a number`,
		"127.0.0.1:8080:80\n80": `container port "80\n80": want a number`,
	} {
		got, err := ParseSpec(in)
		if err == nil {
			t.Errorf("%q was taken as %v", in, got)
			continue
		}
		if text := err.Error(); !strings.Contains(text, want) || !strings.HasPrefix(text, "publish ") || strings.Contains(text, "\n") {
			t.Errorf("%q: got %s, want %s", in, text, want)
		}
	}
}

func TestParseExpose(t *testing.T) {
	got, err := ParseExpose("8000-8002/udp")
	want := []model.Port{{Num: 8000, Proto: model.UDP}, {Num: 8001, Proto: model.UDP}, {Num: 8002, Proto: model.UDP}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{"", "0", "80:80", "80-79", "80/icmp", "70000", "x"} {
		if _, err := ParseExpose(bad); err == nil || !strings.HasPrefix(err.Error(), "expose ") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

// FuzzParseSpec: what is taken makes sense, and what isn't is refused in one line.
func FuzzParseSpec(f *testing.F) {
	for _, seed := range []string{"80", "8080:80", "127.0.0.1::80", "[::1]:8000-8010:9000-9010/udp", "8000-8010:80", "::80", "[", "/", "-"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if specs, err := ParseSpec(in); oneLine(t, err) {
			checkSpecs(t, specs)
		}
		if exposed, err := ParseExpose(in); oneLine(t, err) {
			checkPorts(t, exposed)
		}
	})
}

// oneLine reports whether there is no error.
func oneLine(t *testing.T, err error) bool {
	if err != nil && strings.ContainsFunc(err.Error(), unicode.IsControl) {
		t.Errorf("more than one line: %q", err)
	}
	return err == nil
}

func checkSpecs(t *testing.T, specs []model.PortSpec) {
	var published []model.Port
	for _, s := range specs {
		if s.HostPortEnd < s.HostPort || (s.HostPort == 0) != (s.HostPortEnd == 0) || s.HostIP.Zone() != "" || s.HostIP.Is4In6() {
			t.Errorf("%+v", s)
		}
		published = append(published, s.Port)
	}
	checkPorts(t, published)
}

// checkPorts wants a run of ports of one protocol.
func checkPorts(t *testing.T, list []model.Port) {
	if len(list) == 0 || len(list) > 65535 {
		t.Fatalf("%d ports", len(list))
	}
	for i, p := range list {
		if p.Num == 0 || p.Proto != list[0].Proto || int(p.Num) != int(list[0].Num)+i {
			t.Errorf("port %d is %+v, after %+v", i, p, list[0])
		}
	}
}
