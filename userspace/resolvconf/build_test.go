// SPDX-License-Identifier: Apache-2.0

package resolvconf

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", strings.ReplaceAll(t.Name(), "/", "_")+".golden")
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func parse(t *testing.T, s string) File {
	t.Helper()
	f, err := Parse(strings.NewReader(s))
	must(t, err)
	f.Path = "/etc/resolv.conf"
	return f
}

func ips(ss ...string) (addrs []netip.Addr) {
	for _, s := range ss {
		addrs = append(addrs, netip.MustParseAddr(s))
	}
	return addrs
}

var hostFiles = map[string]string{
	"empty":    "",
	"plain":    "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch example.com example.net\noptions timeout:2\n",
	"loopback": "# a comment\n; another\nnameserver 127.0.0.1\nnameserver ::1\nsortlist 130.155.160.0/255.255.240.0\n",
	"ndots":    "domain old.example\nnameserver 192.0.2.1\noptions ndots:3 edns0\nnameserver bogus\nnameserver\n",
	"badndots": "nameserver 192.0.2.1\noptions ndots:-1 ndots:x rotate\n",
	"scoped":   "nameserver fe80::1%eth0\n",
}

var overrides = map[string]Overrides{
	"none": {},
	"all":  {Nameservers: ips("198.51.100.1", "127.0.0.1"), Search: []string{"a.example", "b.example"}, Options: []string{"ndots:2", "use-vc"}},
	"dot":  {Search: []string{"."}},
}

func TestBuild(t *testing.T) {
	for host, text := range hostFiles {
		for name, o := range overrides {
			t.Run(host+"_"+name, func(t *testing.T) {
				f := parse(t, text)
				var b strings.Builder
				e := ForEmbedded(f, o)
				b.WriteString("=== embedded\n" + string(e.Content))
				if e.NDotsSet {
					b.WriteString("=== ndots set\n")
				}
				b.WriteString("=== bridge\n" + string(ForBridge(f, o, false)))
				b.WriteString("=== bridge with IPv6\n" + string(ForBridge(f, o, true)))
				b.WriteString("=== host\n" + string(ForHost(f, o)))
				golden(t, []byte(b.String()))
				if diff := cmp.Diff(parse(t, text), f, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
					t.Errorf("the host's file was changed:\n%s", diff)
				}
			})
		}
	}
}

// TestUpstreams shows where the servers are asked from.
func TestUpstreams(t *testing.T) {
	equal := cmp.Comparer(func(a, b netip.Addr) bool { return a == b })
	f := parse(t, hostFiles["plain"])
	want := []Upstream{{ips("192.0.2.1")[0], true}, {ips("2001:db8::1")[0], true}}
	if diff := cmp.Diff(want, ForEmbedded(f, Overrides{}).Upstreams, equal); diff != "" {
		t.Errorf("the host's servers:\n%s", diff)
	}
	want = []Upstream{{ips("127.0.0.1")[0], false}}
	if diff := cmp.Diff(want, ForEmbedded(f, Overrides{Nameservers: ips("127.0.0.1")}).Upstreams, equal); diff != "" {
		t.Errorf("the user's servers:\n%s", diff)
	}
	if got := ForEmbedded(File{}, Overrides{}).Upstreams; len(got) != 0 {
		t.Errorf("no servers: %v", got)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		o    Overrides
		want string
	}{
		{overrides["all"], ""},
		{overrides["dot"], ""},
		{Overrides{Nameservers: []netip.Addr{{}}}, `dns server "invalid IP": want a unicast address like 192.0.2.53`},
		{Overrides{Nameservers: ips("224.0.0.251")}, `dns server "224.0.0.251": want a unicast address like 192.0.2.53`},
		{Overrides{Search: []string{"a\nnameserver 6.6.6.6"}}, `dns search domain "a\nnameserver 6.6.6.6": want printable ASCII without spaces, # or ;`},
		{Overrides{Options: []string{""}}, `dns option "": is empty`},
		{Overrides{Options: []string{strings.Repeat("x", 256)}}, `dns option "` + strings.Repeat("x", 256) + `": is longer than 255 bytes`},
	} {
		got := ""
		if err := c.o.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
}
