// SPDX-License-Identifier: Apache-2.0

package test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
)

// SEC-30: the socket is root's and its group's, and what is no request is
// refused with a reason.
func TestAPIRefusesNonsense(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		client := apiClient(e)
		for what, c := range map[string]struct {
			method, path, body string
			status             int
			word               string
		}{
			"no JSON":         {http.MethodPost, "/v1/networks", "{name", http.StatusBadRequest, "JSON"},
			"unknown field":   {http.MethodPost, "/v1/networks", `{"name":"a","colour":"blue"}`, http.StatusBadRequest, "colour"},
			"wrong type":      {http.MethodPost, "/v1/networks", `{"name":7}`, http.StatusBadRequest, "name"},
			"two values":      {http.MethodPost, "/v1/networks", `{"name":"a"}{"name":"b"}`, http.StatusBadRequest, "follows"},
			"large body":      {http.MethodPost, "/v1/networks", `{"name":"` + strings.Repeat("a", 1<<20) + `"}`, http.StatusRequestEntityTooLarge, "1048576"},
			"no such network": {http.MethodGet, "/v1/networks/nosuch", "", http.StatusNotFound, "nosuch"},
			"traversal":       {http.MethodGet, "/v1/networks/..%2f..%2fetc%2fpasswd", "", http.StatusNotFound, ""},
			"name with path":  {http.MethodPost, "/v1/networks", `{"name":"../../etc"}`, http.StatusBadRequest, "../../etc"},
		} {
			req, err := http.NewRequest(c.method, "http://fairway"+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			res, err := client.Do(req)
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			raw, _ := io.ReadAll(res.Body)
			res.Body.Close()
			var answer struct {
				Error string `json:"error"`
			}
			if err := json.Unmarshal(raw, &answer); err != nil || res.StatusCode != c.status || answer.Error == "" || !strings.Contains(answer.Error, c.word) {
				t.Errorf("%s: %d %s, want %d and an error that names %q", what, res.StatusCode, raw, c.status, c.word)
			}
		}
		e.Must(t, "network", "ls")
	})
}

// SEC-30: nobody else comes near.
func TestUnprivilegedUserIsDenied(t *testing.T) {
	harness.ForEach(t, func(t *testing.T, e *harness.Env) {
		for path, want := range map[string]os.FileMode{e.Daemon.Socket: 0o660, e.Daemon.RunDir: 0o750} {
			st, err := os.Stat(path)
			if err != nil || st.Mode().Perm() != want {
				t.Errorf("%s has mode %v (%v), want %v", path, st.Mode().Perm(), err, want)
			}
		}
		// What is above the daemon's own directories is the test's.
		for dir := filepath.Dir(e.Daemon.RunDir); strings.HasPrefix(filepath.Base(dir), "fwt-") || strings.HasPrefix(filepath.Base(dir), "d"); dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.Command("curl", "-sS", "--unix-socket", e.Daemon.Socket, "http://fairway/v1/networks")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if out, err := cmd.CombinedOutput(); err == nil {
			t.Errorf("nobody gets %s", out)
		}
	})
}

func apiClient(e *harness.Env) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", e.Daemon.Socket)
	}}}
}
