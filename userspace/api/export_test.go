// SPDX-License-Identifier: Apache-2.0

package api

import (
	"log/slog"
	"net/http"
)

// RoutePatterns lists the routes for the test of the documentation.
func RoutePatterns() []string {
	var patterns []string
	for _, r := range (&handlers{}).routes() {
		patterns = append(patterns, r.pattern)
	}
	return patterns
}

// Handler is what a Server serves, for requests without a socket.
func Handler(b Backend, log *slog.Logger) http.Handler { return NewServer(b, log, nil).http.Handler }
