// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"text/template"
)

// request asks the engine by its API and decodes the answer, if v isn't nil. To start the
// docker command line takes longer than most that it asks for, so what a test looks at again
// and again, and what it tidies up with, goes without.
func (d *engine) request(method, path string, query url.Values, v any) error {
	ctx, cancel := context.WithTimeout(context.Background(), d.limit)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		// An engine that starts again has other connections.
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", d.socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://engine"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%s %s: %w", method, path, err)
	case resp.StatusCode >= http.StatusBadRequest:
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(body))
	case v == nil:
		return nil
	}
	if text, ok := v.(*string); ok {
		*text = string(body)
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	return decoder.Decode(v)
}

// answers asks whether the engine is ready.
func (d *engine) answers() error { return d.request(http.MethodGet, "/_ping", nil, nil) }

// inspect is docker inspect -f.
func (d *engine) inspect(container, format string) string {
	d.t.Helper()
	var about any
	if err := d.request(http.MethodGet, "/containers/"+container+"/json", nil, &about); err != nil {
		d.t.Fatal(err)
	}
	var out strings.Builder
	if err := template.Must(template.New("").Parse(format)).Execute(&out, about); err != nil {
		d.t.Fatalf("inspect %s: %v", container, err)
	}
	return out.String()
}

// said is what a container wrote, with the engine's headers in between.
func (d *engine) said(container string) (text string, err error) {
	err = d.request(http.MethodGet, "/containers/"+container+"/logs", url.Values{"stdout": {"1"}, "stderr": {"1"}}, &text)
	return text, err
}

// discard is docker rm -f.
func (d *engine) discard(containers ...string) {
	d.t.Helper()
	for _, c := range containers {
		if err := d.removeContainer(c); err != nil {
			d.t.Fatal(err)
		}
	}
}

// discardNetworks is docker network rm.
func (d *engine) discardNetworks(networks ...string) {
	d.t.Helper()
	for _, n := range networks {
		if err := d.removeNetwork(n); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *engine) removeContainer(name string) error {
	return d.request(http.MethodDelete, "/containers/"+name, url.Values{"force": {"1"}}, nil)
}

func (d *engine) removeNetwork(name string) error {
	return d.request(http.MethodDelete, "/networks/"+name, nil, nil)
}

// removeObjects removes the engine's containers, networks and volumes.
func (d *engine) removeObjects() error {
	var containers, networks []struct{ Id string }
	var volumes struct{ Volumes []struct{ Name string } }
	errs := []error{
		d.request(http.MethodGet, "/containers/json", url.Values{"all": {"1"}}, &containers),
		d.request(http.MethodGet, "/networks", url.Values{"filters": {`{"type":["custom"]}`}}, &networks),
		d.request(http.MethodGet, "/volumes", nil, &volumes),
	}
	for _, c := range containers {
		errs = append(errs, d.request(http.MethodDelete, "/containers/"+c.Id, url.Values{"force": {"1"}, "v": {"1"}}, nil))
	}
	for _, n := range networks {
		errs = append(errs, d.removeNetwork(n.Id))
	}
	for _, v := range volumes.Volumes {
		errs = append(errs, d.request(http.MethodDelete, "/volumes/"+v.Name, url.Values{"force": {"1"}}, nil))
	}
	return errors.Join(errs...)
}
