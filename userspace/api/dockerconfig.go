// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"net/url"
	"os"

	"github.com/fairway-project/fairway/userspace/request"
)

// DockerConfigBackend keeps the configuration of a Docker Engine as it was before it was
// set up.
type DockerConfigBackend interface {
	// Kept returns the file; kept is false where none is.
	Kept(context.Context) (content []byte, kept bool, err error)
	// Keep keeps the file, unless one is kept.
	Keep(ctx context.Context, content []byte) error
	// Forget ends that. Forgetting what isn't kept is not an error.
	Forget(context.Context) error
}

// DockerConfig is a configuration that is kept, or is to be.
type DockerConfig struct {
	Kept bool `json:"kept"`
	// Content is empty where there was no file.
	Content []byte `json:"content,omitempty"`
}

// KeepDocker makes the server keep a Docker Engine's configuration with b, for who means
// the daemon whose state is in root. It is called before Serve.
func (s *Server) KeepDocker(root string, b DockerConfigBackend) {
	s.handlers.root, s.handlers.config = root, b
}

// checkRoot refuses who means another daemon: what is kept has to be found when that one
// doesn't run.
func (h *handlers) checkRoot(r *http.Request) error {
	root := r.URL.Query().Get("root")
	if h.config != nil {
		meant, err := os.Stat(root)
		is, ownErr := os.Stat(h.root)
		if err == nil && ownErr == nil && os.SameFile(meant, is) {
			return nil
		}
	}
	return request.Errorf(request.ErrConflict, "root %q: this daemon's is %s", root, h.root)
}

func (h *handlers) keptDockerConfig(w http.ResponseWriter, r *http.Request) error {
	if err := h.checkRoot(r); err != nil {
		return err
	}
	content, kept, err := h.config.Kept(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, DockerConfig{kept, content})
}

func (h *handlers) keepDockerConfig(w http.ResponseWriter, r *http.Request) error {
	var c DockerConfig
	if err := decodeBody(r, &c); err != nil {
		return err
	}
	if err := h.checkRoot(r); err != nil {
		return err
	}
	if err := h.config.Keep(r.Context(), c.Content); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct{}{})
}

func (h *handlers) forgetDockerConfig(w http.ResponseWriter, r *http.Request) error {
	if err := h.checkRoot(r); err != nil {
		return err
	}
	if err := h.config.Forget(r.Context()); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct{}{})
}

// DockerConfigs is what the daemon at a Client's socket keeps, if its state is in Root. It
// fails with ErrConflict if that is elsewhere.
type DockerConfigs struct {
	Client *Client
	Root   string
}

// Kept implements DockerConfigBackend.
func (d DockerConfigs) Kept(ctx context.Context) (content []byte, kept bool, err error) {
	var c DockerConfig
	err = d.call(ctx, http.MethodGet, nil, &c)
	return c.Content, c.Kept, err
}

// Keep implements DockerConfigBackend.
func (d DockerConfigs) Keep(ctx context.Context, content []byte) error {
	return d.call(ctx, http.MethodPost, DockerConfig{true, content}, nil)
}

// Forget implements DockerConfigBackend.
func (d DockerConfigs) Forget(ctx context.Context) error {
	return d.call(ctx, http.MethodDelete, nil, nil)
}

func (d DockerConfigs) call(ctx context.Context, method string, body, answer any) error {
	return d.Client.call(ctx, method, "/v1/docker/config", url.Values{"root": {d.Root}}, body, answer)
}
