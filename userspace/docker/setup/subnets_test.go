// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"fmt"
	"testing"
)

func TestSubnets(t *testing.T) {
	for name, c := range map[string]struct {
		flags map[string]string
		file  file
		want  string
	}{
		"nothing":      {file: file{}, want: "[172.17.0.0/16]"},
		"bip":          {file: keys("bip", `"10.9.0.1/24"`), want: "[10.9.0.0/24]"},
		"bip flag":     {flags: map[string]string{"bip": "10.9.0.1/24"}, want: "[10.9.0.0/24]"},
		"pools":        {file: keys(poolKey, `[{"base":"10.10.0.0/16","size":24},{"base":"fd00::/56","size":64}]`), want: "[10.10.0.0/16 fd00::/56]"},
		"only IPv6":    {file: keys(poolKey, `[{"base":"fd00::/56","size":64}]`), want: "[fd00::/56 172.17.0.0/16]"},
		"pool flags":   {flags: map[string]string{poolFlag: "base=10.1.0.0/16,size=24 base=10.2.0.0/16,size=24"}, want: "[10.1.0.0/16 10.2.0.0/16]"},
		"pool and bip": {file: keys("bip", `"10.9.0.1/24"`, poolKey, `[{"base":"10.10.0.0/16","size":24}]`), want: "[10.10.0.0/16 10.9.0.0/24]"},
		"not a subnet": {file: keys("bip", `"10.9.0.1"`), want: "[]"},
	} {
		got, err := subnets(Engine{Flags: c.flags}, c.file)
		if fmt.Sprint(got) != c.want || (err != nil) != (c.want == "[]") {
			t.Errorf("%s: got %v, %v, want %s", name, got, err, c.want)
		}
	}
}
