// SPDX-License-Identifier: Apache-2.0

package resolvconf

import (
	"testing"

	"github.com/fairway-project/fairway/userspace/model"
)

func TestHosts(t *testing.T) {
	v4, v6 := ips("172.17.0.2")[0], ips("fd00::2")[0]
	full := Hosts{
		Hostname: "web.example.com",
		Addrs:    ips("172.17.0.3", "fd00::3"),
		Extra:    []model.ExtraHost{{Name: "gw", Addr: ips("192.0.2.1")[0]}, {Name: "gw6", Addr: ips("2001:db8::1")[0]}},
		Links:    []HostLink{{Alias: "store", Hostname: "0123456789ab", Name: "db", Addr: v4}, {Alias: "db", Hostname: "h", Name: "db", Addr: v6}},
	}
	noIPv6 := full
	noIPv6.NoIPv6 = true
	for name, h := range map[string]Hosts{"none": {Hostname: "a"}, "full": full, "noipv6": noIPv6} {
		t.Run(name, func(t *testing.T) {
			golden(t, h.Content())
		})
	}
	if got := string(Hostname("web")); got != "web\n" {
		t.Errorf("hostname file: %q", got)
	}
}
