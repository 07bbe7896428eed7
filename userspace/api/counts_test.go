// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// A service is shown without its connections where they can't be counted, or nobody asks.
func TestInspectWithoutCounts(t *testing.T) {
	fake := apitest.NewFake(t)
	fake.AddService(request.ServiceView{
		Service: model.Service{Name: "shop"}, Backends: []request.ServiceBackendView{{Name: "web"}}, Warnings: []string{"port 80 is taken"},
	})
	socket := apitest.Serve(t, fake, slog.New(slog.DiscardHandler))
	client := api.NewClient(socket)
	defer client.Close()
	s, _, err := client.CountedService(t.Context(), "shop")
	if err != nil || s.Connections == nil || len(s.Warnings) != 1 {
		t.Errorf("counted: %+v, %v", s, err)
	}
	fake.CountsError = errors.New("no memory")
	if s, _, err = client.CountedService(t.Context(), "shop"); err != nil || s.Connections != nil || s.Backends[0].Connections != nil {
		t.Errorf("not countable: %+v, %v", s, err)
	}
	if len(s.Warnings) != 2 || !strings.Contains(s.Warnings[1], "no memory") {
		t.Errorf("warnings: %q", s.Warnings)
	}
	if code, body, _ := send(t, socket, plainRequest("GET /v1/services/shop", "")); code != 200 || strings.Contains(body, `"connections"`) {
		t.Errorf("not asked for: %d %s", code, body)
	}
}
