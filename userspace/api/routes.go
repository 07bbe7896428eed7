// SPDX-License-Identifier: Apache-2.0

package api

import (
	"log/slog"
	"net/http"
	"path"
	"slices"

	"github.com/fairway-project/fairway/userspace/request"
)

// handler answers one request; an error that it returns has not been written yet.
type handler func(w http.ResponseWriter, r *http.Request) error

// route is one line of the API. docs/api.md has one section for each.
type route struct {
	pattern string
	// query lists the parameters that the route knows.
	query  []string
	handle handler
}

func (h *handlers) routes() []route {
	return []route{
		{"GET /v1/version", nil, h.version},
		{"GET /v1/status", nil, h.status},
		{"GET /v1/doctor", nil, h.doctor},
		{"GET /v1/flows", nil, h.flows},
		{"POST /v1/uninstall", nil, h.uninstall},

		{"GET /v1/networks", []string{"filter"}, h.listNetworks},
		{"POST /v1/networks", nil, h.createNetwork},
		{"POST /v1/networks/prune", []string{"filter"}, h.pruneNetworks},
		{"GET /v1/networks/{network}", nil, h.inspectNetwork},
		{"DELETE /v1/networks/{network}", nil, h.removeNetwork},
		{"POST /v1/networks/{network}/connect", nil, h.connect},
		{"POST /v1/networks/{network}/disconnect", nil, h.disconnect},

		{"GET /v1/sandboxes", []string{"all", "filter"}, h.listSandboxes},
		{"POST /v1/sandboxes/run", []string{"attach"}, h.run},
		{"POST /v1/sandboxes/add", nil, h.add},
		{"GET /v1/sandboxes/{sandbox}", nil, h.inspectSandbox},
		{"DELETE /v1/sandboxes/{sandbox}", []string{"force"}, h.removeSandbox},
		{"GET /v1/sandboxes/{sandbox}/ports", nil, h.ports},
		{"GET /v1/sandboxes/{sandbox}/logs", []string{"follow", "tail"}, h.logs},
		{"POST /v1/sandboxes/{sandbox}/exec", nil, h.exec},
		{"POST /v1/sandboxes/{sandbox}/stop", nil, h.stop},
		{"POST /v1/sandboxes/{sandbox}/wait", nil, h.wait},

		{"GET /v1/services", []string{"counts", "filter"}, h.listServices},
		{"POST /v1/services", nil, h.createService},
		{"GET /v1/services/{service}", []string{"counts"}, h.inspectService},
		{"PATCH /v1/services/{service}", nil, h.updateService},
		{"DELETE /v1/services/{service}", nil, h.removeService},
		{"GET /v1/services/{service}/backends", []string{"counts", "filter"}, h.serviceBackends},
		{"POST /v1/services/{service}/drain", nil, h.drainService},

		{"GET /v1/ports", nil, h.allPorts},
		{"POST /v1/docker/ports", nil, h.holdDockerPort},
		{"DELETE /v1/docker/ports", nil, h.releaseDockerPort},
		{"GET /v1/docker/config", []string{"root"}, h.keptDockerConfig},
		{"POST /v1/docker/config", []string{"root"}, h.keepDockerConfig},
		{"DELETE /v1/docker/config", []string{"root"}, h.forgetDockerConfig},
	}
}

func newHandler(h *handlers, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	for _, rt := range h.routes() {
		mux.Handle(rt.pattern, h.answer(rt, log))
	}
	return recovered(log, withBody(func(w http.ResponseWriter, r *http.Request) {
		// The mux answers these with text and, for a path like /v1/../x, with a
		// redirect that no client of ours would follow.
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path {
			notFound(w, r)
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			refuse(w, r, mux)
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

// answer checks the query, runs the route and writes its error.
func (h *handlers) answer(rt route, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := checkQuery(r, rt.query)
		if err == nil {
			err = rt.handle(w, r)
		}
		if err == nil {
			return
		}
		err = h.tellWhose(r, err)
		status := statusOf(err)
		if status == http.StatusInternalServerError {
			log.Error("request", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		writeError(w, status, bodyOf(err))
	})
}

func checkQuery(r *http.Request, known []string) error {
	for key := range r.URL.Query() {
		if !slices.Contains(known, key) {
			return request.Errorf(request.ErrInvalid, "query parameter %q: unknown", key)
		}
	}
	return nil
}
