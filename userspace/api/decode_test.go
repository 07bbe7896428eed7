// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/request"
)

func TestDecodeNamesTheField(t *testing.T) {
	for body, want := range map[string]string{
		`{"nmae":"x"}`:                                       `field "nmae": unknown`,
		`{"networks":[{"netwrok":"x"}]}`:                     `field "networks[0].netwrok": unknown`,
		`{"name":7}`:                                         `field "name": 7: want a string`,
		`{"auto_remove":"yes"}`:                              `field "auto_remove": "yes": want true or false`,
		`{"command":"sleep 1"}`:                              `field "command": "sleep 1": want a list`,
		`{"command":["a",1]}`:                                `field "command[1]": 1: want a string`,
		`{"networks":[{"network":"x"},{"ipv4":"nope"}]}`:     `field "networks[1].ipv4": "nope": want an IP address`,
		`{"networks":[{"mac_address":"01:00:00:00:00:00"}]}`: `field "networks[0].mac_address": "01:00:00:00:00:00": want a unicast MAC`,
		`{"labels":{"a":1}}`:                                 `field "labels.a": 1: want a string`,
		`{"labels":[]}`:                                      `field "labels": []: want an object`,
		`{"networks":[{"gw_priority":1.5}]}`:                 `field "networks[0].gw_priority": 1.5: want a whole number`,
		`[]`:                                                 `[]: want an object`,
		`{"name":"x"} {}`:                                    `something follows`,
		`{"name":`:                                           `ends too early`,
		`{name:1}`:                                           `not JSON at byte 2`,
	} {
		var req request.Run
		err := decodeJSON([]byte(body), &req)
		if err == nil {
			t.Errorf("%s: no error", body)
			continue
		}
		if !errors.Is(err, request.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q; want %q", body, err, want)
		}
	}
}

func TestValidate(t *testing.T) {
	long := strings.Repeat("a", 200)
	for _, tc := range []struct {
		req  validator
		want string
	}{
		{&request.NetworkCreate{}, "network name is missing"},
		{&request.NetworkCreate{Name: "../x"}, `network name "../x": want letters`},
		{&request.NetworkCreate{Name: long}, "200 bytes long; want at most 128"},
		{&request.Run{}, "command is missing"},
		{&request.Run{SandboxConfig: request.SandboxConfig{Name: long}, Command: []string{"a"}}, "200 bytes long; want at most 63"},
		{&request.Run{SandboxConfig: request.SandboxConfig{Name: "a b"}, Command: []string{"a"}}, `sandbox name "a b"`},
		{&request.Run{SandboxConfig: request.SandboxConfig{Hostname: "-a"}, Command: []string{"a"}}, `hostname "-a"`},
		{&request.Run{SandboxConfig: on("host", "front"), Command: []string{"a"}}, `network "host": cannot be combined`},
		{&request.Run{SandboxConfig: on("front", "front"), Command: []string{"a"}}, `network "front": given twice`},
		{&request.Run{SandboxConfig: on("container:"), Command: []string{"a"}}, "want container:NAME"},
		{&request.Run{SandboxConfig: request.SandboxConfig{Publish: []string{"1-2:1-3"}}, Command: []string{"a"}}, "want the same number"},
		{&request.Run{Command: []string{"a\x00b"}}, "contains a NUL byte"},
		{&request.Run{Command: []string{"a"}, Env: []string{"A"}}, `environment "A": want KEY=VALUE`},
		{&request.Run{Command: []string{"a"}, Workdir: "tmp"}, `workdir "tmp": want an absolute path`},
		{&request.Add{SandboxConfig: request.SandboxConfig{Name: "x"}, Netns: "vm1"}, `netns "vm1": want an absolute path`},
		{&request.Add{SandboxConfig: request.SandboxConfig{Name: "x", Networks: []request.EndpointSettings{{Network: "host"}}}, Netns: "/n"}, "cannot use another's"},
		{&request.Connect{}, "sandbox is missing"},
		{&request.Disconnect{}, "sandbox is missing"},
	} {
		err := tc.req.Validate()
		if err == nil || !errors.Is(err, request.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: got %v; want %q", tc.req, err, tc.want)
		}
	}
}

func on(networks ...string) request.SandboxConfig {
	var c request.SandboxConfig
	for _, n := range networks {
		c.Networks = append(c.Networks, request.EndpointSettings{Network: n})
	}
	return c
}

// FuzzBodies feeds one body to every request: what is accepted means the same
// after it was written and read again.
func FuzzBodies(f *testing.F) {
	for _, s := range []string{
		`{"name":"front","ipam":[{"subnet":"172.20.0.0/16","aux_addresses":{"a":"172.20.0.5"}}],"enable_ipv4":false,"enable_ipv6":true}`,
		`{"name":"web","command":["a"],"networks":[{"network":"x","mac_address":"02:42:00:00:00:01"}],"publish":["8000-8001:80-81/udp"]}`,
		`{"sandbox":"web","ipv6":"fd00::1","gw_priority":-1}`, `{"timeout":-1,"signal":"KILL"}`, `{}`, `[]`, `null`, `{"a":{"b":[1]}}`,
		strings.Repeat(`[`, 11000),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		roundTrip[request.NetworkCreate](t, body)
		roundTrip[request.Connect](t, body)
		roundTrip[request.Disconnect](t, body)
		roundTrip[request.Run](t, body)
		roundTrip[request.Add](t, body)
		roundTrip[request.Exec](t, body)
		roundTrip[request.Stop](t, body)
		roundTrip[Uninstall](t, body)
	})
}

func roundTrip[T any](t *testing.T, body []byte) {
	var first, second T
	if err := decodeJSON(body, &first); err != nil {
		if !errors.Is(err, request.ErrInvalid) || err.Error() == "" {
			t.Fatalf("%v is not ErrInvalid", err)
		}
		return
	}
	if v, ok := any(&first).(validator); ok && v.Validate() != nil {
		return
	}
	out, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := decodeJSON(out, &second); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	again, err := json.Marshal(second)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(out), string(again)); diff != "" {
		t.Fatal(diff)
	}
}
