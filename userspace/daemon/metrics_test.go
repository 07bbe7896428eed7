// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/api/apitest"
)

// TestSlowScrapersAreCutOff: the endpoint may be open to a whole network.
func TestSlowScrapersAreCutOff(t *testing.T) {
	serve := func(_ *testing.T, l net.Listener) error {
		return metricsServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "up 1\n")
		})).Serve(l)
	}
	const get = "GET /metrics HTTP/1.1\r\nHost: x\r\n"
	for what, c := range map[string]struct{ atOnce, slowly string }{
		"nothing": {"", ""},
		"header":  {get + "X-Slow: ", strings.Repeat("x", 1000)},
		"body":    {get + "Content-Length: 1000\r\n\r\n", strings.Repeat("x", 1000)},
		"no body": {get + "Content-Length: 1000\r\n\r\n", ""},
		"idle":    {get + "\r\n", ""},
	} {
		if open := apitest.OpenFor(t, serve, c.atOnce, c.slowly); open > 5*time.Minute {
			t.Errorf("%s: the connection was open for %s", what, open)
		}
	}
}
