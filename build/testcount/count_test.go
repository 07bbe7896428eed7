// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"
)

func TestResult(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"tests and subtests": {`
			{"Action":"run","Package":"p","Test":"A"}
			{"Action":"run","Package":"p","Test":"A/b"}
			{"Action":"pass","Package":"p","Test":"A/b"}
			{"Action":"pass","Package":"p","Test":"A"}
			{"Action":"pass","Package":"p"}`, "2 passed, 0 failed"},
		"failed and skipped": {`
			{"Action":"fail","Package":"p","Test":"A"}
			{"Action":"skip","Package":"p","Test":"B"}
			{"Action":"fail","Package":"p"}`, "0 passed, 1 failed, 1 skipped"},
		"never ended": {`
			{"Action":"run","Package":"p","Test":"A"}
			{"Action":"output","Package":"p","Test":"A","Output":"panic"}
			{"Action":"fail","Package":"p"}`, "0 passed, 1 failed"},
		"doesn't build": {`
			# p
			{"Action":"build-fail","ImportPath":"p"}
			{"Action":"start","Package":"p"}
			{"Action":"fail","Package":"p"}`, "0 passed, 1 failed"},
		"run again": {`
			{"Action":"fail","Package":"p","Test":"A"}
			{"Action":"fail","Package":"p"}
			{"Action":"start","Package":"p"}
			{"Action":"run","Package":"p","Test":"A"}
			{"Action":"pass","Package":"p","Test":"A"}
			{"Action":"pass","Package":"p"}`, "1 passed, 0 failed"},
		"failed again": {`
			{"Action":"fail","Package":"p","Test":"A"}
			{"Action":"fail","Package":"p"}
			{"Action":"start","Package":"p"}
			{"Action":"run","Package":"p","Test":"A"}
			{"Action":"fail","Package":"p","Test":"A"}
			{"Action":"fail","Package":"p"}`, "0 passed, 1 failed"},
		"package that left something": {`
			{"Action":"pass","Package":"p","Test":"A"}
			{"Action":"fail","Package":"p"}
			{"Action":"start","Package":"p"}
			{"Action":"pass","Package":"p"}`, "1 passed, 1 failed"},
		"package cut off":  {`{"Action":"start","Package":"p"}`, "0 passed, 1 failed"},
		"no tests at all":  {`{"Action":"skip","Package":"p"}`, "0 passed, 0 failed"},
		"nothing was read": {``, "0 passed, 0 failed"},
	} {
		t.Run(name, func(t *testing.T) {
			var count counter
			if err := count.read(strings.NewReader(c.in)); err != nil {
				t.Fatal(err)
			}
			if got := count.result().String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestFlaky(t *testing.T) {
	var count counter
	err := count.read(strings.NewReader(`
		{"Action":"fail","Package":"p","Test":"B"}
		{"Action":"fail","Package":"p","Test":"A"}
		{"Action":"fail","Package":"p","Test":"C"}
		{"Action":"pass","Package":"p","Test":"D"}
		{"Action":"fail","Package":"p"}
		{"Action":"run","Package":"p","Test":"A"}
		{"Action":"pass","Package":"p","Test":"A"}
		{"Action":"run","Package":"p","Test":"B"}
		{"Action":"pass","Package":"p","Test":"B"}
		{"Action":"run","Package":"p","Test":"C"}
		{"Action":"fail","Package":"p","Test":"C"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := count.flaky(); !slices.Equal(got, []string{"p A", "p B"}) {
		t.Errorf("got %q", got)
	}
}
