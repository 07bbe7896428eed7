// SPDX-License-Identifier: Apache-2.0

package resolvconf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadHost(t *testing.T) {
	dir := t.TempDir()
	etc, systemd := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "systemd.conf")
	write := func(path, content string) { t.Helper(); must(t, os.WriteFile(path, []byte(content), 0o644)) }
	check := func(when, path, server string) {
		t.Helper()
		f, err := loadHost(etc, systemd)
		must(t, err)
		if got := ""; len(f.Nameservers) > 0 {
			got = f.Nameservers[0].String()
			if got != server || f.Path != path {
				t.Errorf("%s: %s from %s, want %s from %s", when, got, f.Path, server, path)
			}
		} else if server != "" {
			t.Errorf("%s: no servers, want %s", when, server)
		}
	}
	check("no file", etc, "")
	write(etc, "nameserver 127.0.0.53\noptions edns0 trust-ad\n")
	check("stub without its file", etc, "127.0.0.53")
	write(systemd, "nameserver 192.0.2.1\n")
	check("stub", systemd, "192.0.2.1")
	write(etc, "nameserver 192.0.2.9\nnameserver 127.0.0.53\n")
	check("stub and another", etc, "192.0.2.9")
	if _, err := Load(dir); err == nil {
		t.Error("a directory was loaded")
	}
	write(etc, strings.Repeat("x", 1<<17))
	if _, err := Load(etc); err == nil || !strings.Contains(err.Error(), etc) {
		t.Errorf("a line without end: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range hostFiles {
		f.Add(text)
	}
	f.Add("nameserver\x00\n search \noptions\noptions :\nnameserver fe80::1%%\n\xff")
	f.Fuzz(func(t *testing.T, text string) {
		host, err := Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		e := ForEmbedded(host, Overrides{})
		again, err := Parse(strings.NewReader(string(e.Content)))
		if err != nil || len(again.Nameservers) != 1 || again.Nameservers[0].String() != "127.0.0.11" {
			t.Errorf("built from %q: %q, %v", text, e.Content, err)
		}
	})
}
