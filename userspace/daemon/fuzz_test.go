// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// FuzzConfig reads a configuration file: it is refused in one line, or means the same
// after it was written and read again.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		"", "# nothing\n", "---\n", "null\n", "[]", "{}", "x", "- a: &a [*a]\n",
		"datapath: iptables\nroot: /from/file\nuplinks: [eth0, eth1]\ntimeouts:\n  udp: 45s\nflow_table_size: 4096\n",
		"masquerade_ports: 20000-29999\nxdp: auto\nnetfilter: first-packet\nmetrics: 127.0.0.1:9090\n",
		"docker: unix:///var/run/docker.sock\ndocker_plugin: /run/docker/plugins/fairway.sock\ndebug: true\n",
		"a: &a {udp: 1s}\ntimeouts: *a\n", "timeouts: {<<: {udp: 1s}}\n", "root: !!binary aGk=\n", "flow_table_size: 0x40\n",
		"root: /x\nrooot: /y\n", "root: /x\n---\nroot: /y\n", "timeouts:\n  udp: soon\n", "root: \"a\\0b\"\n", "\xff\xfe",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		c := Default()
		if err := c.decode([]byte(content)); err != nil {
			oneLine(t, err)
			return
		}
		if err := c.Validate(); err != nil {
			oneLine(t, err)
			return
		}
		written, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again := Default()
		if err := again.decode(written); err != nil {
			t.Fatalf("%v:\n%s", err, written)
		}
		if err := again.Validate(); err != nil {
			t.Errorf("%v:\n%s", err, written)
		}
		if len(c.Uplinks) == 0 {
			c.Uplinks, again.Uplinks = nil, nil
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Errorf("(-read +read again):\n%s", diff)
		}
	})
}

func oneLine(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); text == "" || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("want one line: %q", text)
	}
}
