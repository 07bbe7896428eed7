// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairway-project/fairway/userspace/model"
)

func spec(port uint16, proto model.Proto, host string, first, last uint16) model.PortSpec {
	s := model.PortSpec{Port: model.Port{Num: port, Proto: proto}, HostPort: first, HostPortEnd: last}
	if host != "" {
		s.HostIP = netip.MustParseAddr(host)
	}
	return s
}

func TestParsePublish(t *testing.T) {
	for in, want := range map[string][]model.PortSpec{
		"80":                     {spec(80, model.TCP, "", 0, 0)},
		"53/udp":                 {spec(53, model.UDP, "", 0, 0)},
		"53/UDP":                 {spec(53, model.UDP, "", 0, 0)},
		"8080:80":                {spec(80, model.TCP, "", 8080, 8080)},
		"0:80":                   {spec(80, model.TCP, "", 0, 0)},
		":80":                    {spec(80, model.TCP, "", 0, 0)},
		"127.0.0.1:8080:80":      {spec(80, model.TCP, "127.0.0.1", 8080, 8080)},
		"127.0.0.1::80/sctp":     {spec(80, model.SCTP, "127.0.0.1", 0, 0)},
		"[::1]:8080:80":          {spec(80, model.TCP, "::1", 8080, 8080)},
		"::1:8080:80":            {spec(80, model.TCP, "::1", 8080, 8080)},
		"[::]::80":               {spec(80, model.TCP, "::", 0, 0)},
		"::ffff:10.0.0.1:1:80":   {spec(80, model.TCP, "10.0.0.1", 1, 1)},
		"8000-8010:80":           {spec(80, model.TCP, "", 8000, 8010)},
		"80-81":                  {spec(80, model.TCP, "", 0, 0), spec(81, model.TCP, "", 0, 0)},
		"8000-8001:9000-9001":    {spec(9000, model.TCP, "", 8000, 8000), spec(9001, model.TCP, "", 8001, 8001)},
		"65535:65535":            {spec(65535, model.TCP, "", 65535, 65535)},
		"10.0.0.1:7-8:7-8/udp":   {spec(7, model.UDP, "10.0.0.1", 7, 7), spec(8, model.UDP, "10.0.0.1", 8, 8)},
		"[fd00::1]:8000-8001:80": {spec(80, model.TCP, "fd00::1", 8000, 8001)},
	} {
		got, err := ParsePublish(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%q (-want +got):\n%s", in, diff)
		}
	}
}

func TestParsePublishErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                        `container port is missing`,
		"8080:":                   `container port is missing`,
		"0":                       `port "0": want 1 to 65535`,
		"65536":                   `port "65536": want a number from 1 to 65535`,
		"http":                    `port "http": want a number`,
		"+80":                     `port "+80": want a number`,
		"80/icmp":                 `protocol "icmp": want tcp, udp or sctp`,
		"80/":                     `protocol "": want tcp, udp or sctp`,
		"99999:80":                `port "99999": want a number`,
		"8010-8000:80":            `port range "8010-8000": ends before it begins`,
		"8000-8010:9000-9005":     `host range 8000-8010 has 11 ports and container range 9000-9005 has 6`,
		"8000:9000-9005":          `host range 8000 has 1 ports and container range 9000-9005 has 6`,
		"0-5:0-5":                 `want 1 to 65535`,
		"0-5:80":                  `want 1 to 65535`,
		"localhost:8080:80":       `host address "localhost": want an IP address`,
		"[::1:8080:80":            `closing bracket is missing`,
		"[fe80::1%eth0]:8080:80":  `want an IP address`,
		"999.0.0.1:8080:80":       `host address "999.0.0.1": want an IP address`,
		"127.0.0.1:8080:80:extra": `want`,
	} {
		_, err := ParsePublish(in)
		switch {
		case err == nil:
			t.Errorf("%q: no error", in)
		case !errors.Is(err, ErrInvalid):
			t.Errorf("%q: %v is not ErrInvalid", in, err)
		case !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `publish "`+in+`"`):
			t.Errorf("%q: got %q; want it to name the value and contain %q", in, err, want)
		}
	}
}

func TestPortSpecsAreBounded(t *testing.T) {
	c := SandboxConfig{Publish: []string{"1-65535", "1-65535/udp", "1-65535/sctp"}}
	specs, err := c.PortSpecs()
	if err != nil || len(specs) != maxPortSpecs {
		t.Fatalf("got %d specs, %v; want %d", len(specs), err, maxPortSpecs)
	}
	c.Publish = append(c.Publish, "80")
	if _, err := c.PortSpecs(); !errors.Is(err, ErrInvalid) {
		t.Errorf("one more: got %v; want ErrInvalid", err)
	}
}

func TestExposed(t *testing.T) {
	c := SandboxConfig{Expose: []string{"80", "79-81/tcp", "53/udp"}}
	got, err := c.Exposed()
	if err != nil {
		t.Fatal(err)
	}
	want := []model.Port{{Num: 80, Proto: model.TCP}, {Num: 79, Proto: model.TCP}, {Num: 81, Proto: model.TCP}, {Num: 53, Proto: model.UDP}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParsePublish(f *testing.F) {
	for _, s := range []string{"80", "[::1]:1-2:3-4/udp", "::", "1:2:3:4", "-:-", "0-0:0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		specs, err := ParsePublish(s)
		if err != nil {
			return
		}
		if len(specs) == 0 {
			t.Fatal("neither a port nor an error")
		}
		for _, p := range specs {
			if p.Port.Num == 0 || p.HostPortEnd < p.HostPort || (p.HostPort == 0) != (p.HostPortEnd == 0) {
				t.Fatalf("impossible: %+v", p)
			}
		}
	})
}
