// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/api/apitest"
)

// TestSlowClientsAreCutOff has clients that send one byte a second, or none, whatever
// it is that they ask for.
func TestSlowClientsAreCutOff(t *testing.T) {
	endless := strings.Repeat("x", 1000)
	withBody := func(line string) string {
		return line + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
	}
	for what, c := range map[string]struct{ atOnce, slowly string }{
		"nothing":                   {"", ""},
		"header":                    {"GET /v1/version HTTP/1.1\r\nX-Slow: ", endless},
		"no body":                   {withBody("POST /v1/networks"), ""},
		"body":                      {withBody("POST /v1/networks"), endless},
		"chunks":                    {"POST /v1/networks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", strings.Repeat("1\r\nx\r\n", 200)},
		"body that isn't read":      {withBody("GET /v1/version"), endless},
		"body for no path":          {withBody("POST /nowhere"), endless},
		"body for another method":   {withBody("PUT /v1/networks"), endless},
		"body of a prune":           {withBody("POST /v1/networks/prune"), ""},
		"body with an unknown key":  {withBody("POST /v1/networks?x=y"), ""},
		"body after 100 (Continue)": {"POST /v1/networks HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", ""},
	} {
		serve := func(t *testing.T, l net.Listener) error {
			return api.NewServer(apitest.NewFake(t), slog.New(slog.DiscardHandler), nil).Serve(l)
		}
		if open := apitest.OpenFor(t, serve, c.atOnce, c.slowly); open > time.Minute {
			t.Errorf("%s: the connection was open for %s", what, open)
		}
	}
}

// TestHalfOpenRequests has a thousand clients that have said half of what they want,
// among which others are served.
func TestHalfOpenRequests(t *testing.T) {
	socket := apitest.Serve(t, apitest.NewFake(t), slog.New(slog.DiscardHandler))
	for i := range 1000 {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		half := "GET /v1/version HTTP/1.1\r\nHost: x\r\nX-Half"
		if i%2 == 0 {
			half = "POST /v1/networks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
		}
		if _, err := io.WriteString(conn, half); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		name := fmt.Sprint("net", i)
		if status, body, _ := send(t, socket, plainRequest("POST /v1/networks", `{"name":"`+name+`"}`)); status != http.StatusCreated {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}
