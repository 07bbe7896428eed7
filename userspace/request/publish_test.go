// SPDX-License-Identifier: Apache-2.0

package request

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/model"
)

func TestPublishErrorsAreInvalid(t *testing.T) {
	for _, in := range []string{"", "80/icmp", "8000-8010:9000-9005", "localhost:8080:80"} {
		c := SandboxConfig{Publish: []string{in}}
		_, err := c.PortSpecs()
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), `publish "`+in+`"`) {
			t.Errorf("%q: got %v; want ErrInvalid that names the value", in, err)
		}
	}
}

func TestExposeErrorsAreInvalid(t *testing.T) {
	c := SandboxConfig{Expose: []string{"99999"}}
	if _, err := c.Exposed(); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "99999") {
		t.Errorf("got %v; want ErrInvalid that names the value", err)
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
