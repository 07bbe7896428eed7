// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/request"
)

// The methods below are the API's calls one by one; docs/api.md describes them.

// Version asks for the daemon's build.
func (c *Client) Version(ctx context.Context) (v request.Version, err error) {
	return v, c.call(ctx, "GET", "/v1/version", nil, nil, &v)
}

// Status asks for the state of daemon and datapath.
func (c *Client) Status(ctx context.Context) (s request.Status, err error) {
	return s, c.call(ctx, "GET", "/v1/status", nil, nil, &s)
}

// Doctor asks the daemon to check its host.
func (c *Client) Doctor(ctx context.Context) (checks []request.Check, err error) {
	return checks, c.call(ctx, "GET", "/v1/doctor", nil, nil, &checks)
}

// Uninstall removes everything and ends the daemon. It tells removed one line per
// thing removed as that happens.
func (c *Client) Uninstall(ctx context.Context, purge bool, removed func(string)) error {
	process, err := c.daemonProcess()
	if err != nil {
		return err
	}
	if process >= 0 {
		defer unix.Close(process)
	}
	resp, err := c.open(ctx, http.MethodPost, "/v1/uninstall", nil, Uninstall{Purge: purge, Progress: true})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(resp.Body)
	for {
		var line struct {
			Uninstalled
			streamEnd
		}
		switch err := dec.Decode(&line); {
		case errors.Is(err, io.EOF):
			return waitGone(process)
		case err != nil:
			return c.explain(ctx, err)
		case line.Error != "":
			return errors.New(line.Error)
		}
		for _, text := range line.Removed {
			removed(text)
		}
	}
}

// Networks lists the networks that match all filters (KEY=VALUE).
func (c *Client) Networks(ctx context.Context, filters []string) (list []NetworkSummary, err error) {
	return list, c.call(ctx, "GET", "/v1/networks", filterQuery(filters), nil, &list)
}

// CreateNetwork makes a network.
func (c *Client) CreateNetwork(ctx context.Context, req request.NetworkCreate) (n NetworkCreated, err error) {
	return n, c.call(ctx, "POST", "/v1/networks", nil, req, &n)
}

// Network inspects a network. The second result is the document as it came.
func (c *Client) Network(ctx context.Context, ref string) (n NetworkInspect, raw json.RawMessage, err error) {
	if err := c.call(ctx, "GET", networkPath(ref), nil, nil, &raw); err != nil {
		return n, nil, err
	}
	return n, raw, json.Unmarshal(raw, &n)
}

// RemoveNetwork removes a network.
func (c *Client) RemoveNetwork(ctx context.Context, ref string) error {
	return c.call(ctx, "DELETE", networkPath(ref), nil, nil, nil)
}

// PruneNetworks removes unused networks and returns their names, also along with an error.
func (c *Client) PruneNetworks(ctx context.Context, filters []string) ([]string, error) {
	var answer Pruned
	err := c.call(ctx, "POST", "/v1/networks/prune", filterQuery(filters), nil, &answer)
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	return answer.NetworksDeleted, err
}

// Connect attaches a sandbox to a network.
func (c *Client) Connect(ctx context.Context, network string, req request.Connect) error {
	return c.call(ctx, "POST", networkPath(network)+"/connect", nil, req, nil)
}

// Disconnect detaches a sandbox from a network.
func (c *Client) Disconnect(ctx context.Context, network string, req request.Disconnect) error {
	return c.call(ctx, "POST", networkPath(network)+"/disconnect", nil, req, nil)
}

// Sandboxes lists the sandboxes that match all filters, without all only those
// that run.
func (c *Client) Sandboxes(ctx context.Context, all bool, filters []string) (list []SandboxSummary, err error) {
	query := filterQuery(filters)
	if all {
		query.Set("all", "true")
	}
	return list, c.call(ctx, "GET", "/v1/sandboxes", query, nil, &list)
}

// Run starts a sandbox in the background.
func (c *Client) Run(ctx context.Context, req request.Run) (s Started, err error) {
	return s, c.call(ctx, "POST", "/v1/sandboxes/run", nil, req, &s)
}

// Add makes a sandbox around a namespace that exists.
func (c *Client) Add(ctx context.Context, req request.Add) (s Started, err error) {
	return s, c.call(ctx, "POST", "/v1/sandboxes/add", nil, req, &s)
}

// Sandbox inspects a sandbox. The second result is the document as it came.
func (c *Client) Sandbox(ctx context.Context, ref string) (s SandboxInspect, raw json.RawMessage, err error) {
	if err := c.call(ctx, "GET", sandboxPath(ref), nil, nil, &raw); err != nil {
		return s, nil, err
	}
	return s, raw, json.Unmarshal(raw, &s)
}

// Remove removes a sandbox; force also one that runs.
func (c *Client) Remove(ctx context.Context, ref string, force bool) error {
	query := url.Values{}
	if force {
		query.Set("force", "true")
	}
	return c.call(ctx, "DELETE", sandboxPath(ref), query, nil, nil)
}

// Services lists the services that match all filters (KEY=VALUE).
func (c *Client) Services(ctx context.Context, filters []string) (list []ServiceSummary, err error) {
	return list, c.call(ctx, "GET", "/v1/services", filterQuery(filters), nil, &list)
}

// CountedServices is Services with their connections, which takes the daemon a walk through all
// that are open.
func (c *Client) CountedServices(ctx context.Context, filters []string) (list []ServiceSummary, err error) {
	return list, c.call(ctx, "GET", "/v1/services", countsQuery(filters), nil, &list)
}

// CreateService makes a service.
func (c *Client) CreateService(ctx context.Context, req request.ServiceCreate) (s ServiceChanged, err error) {
	return s, c.call(ctx, "POST", "/v1/services", nil, req, &s)
}

// CountedService inspects a service, with its connections as of CountedServices. The second result
// is the document as it came.
func (c *Client) CountedService(ctx context.Context, ref string) (s ServiceInspect, raw json.RawMessage, err error) {
	if err := c.call(ctx, "GET", servicePath(ref), countsQuery(nil), nil, &raw); err != nil {
		return s, nil, err
	}
	return s, raw, json.Unmarshal(raw, &s)
}

// UpdateService changes a service.
func (c *Client) UpdateService(ctx context.Context, ref string, req request.ServiceUpdate) (s ServiceChanged, err error) {
	return s, c.call(ctx, "PATCH", servicePath(ref), nil, req, &s)
}

// RemoveService removes a service.
func (c *Client) RemoveService(ctx context.Context, ref string) error {
	return c.call(ctx, "DELETE", servicePath(ref), nil, nil, nil)
}

// ServiceBackends lists the backends of a service that match all filters (KEY=VALUE).
func (c *Client) ServiceBackends(ctx context.Context, ref string, filters []string) (list []BackendSummary, err error) {
	return list, c.call(ctx, "GET", servicePath(ref)+"/backends", filterQuery(filters), nil, &list)
}

// CountedBackends is ServiceBackends with their connections, as of CountedServices.
func (c *Client) CountedBackends(ctx context.Context, ref string, filters []string) (list []BackendSummary, err error) {
	return list, c.call(ctx, "GET", servicePath(ref)+"/backends", countsQuery(filters), nil, &list)
}

// DrainService has a backend get no new flows, or get them again.
func (c *Client) DrainService(ctx context.Context, ref string, req request.ServiceDrain) error {
	return c.call(ctx, "POST", servicePath(ref)+"/drain", nil, req, nil)
}

// Ports lists the ports of a sandbox.
func (c *Client) Ports(ctx context.Context, ref string) (list []PortBinding, err error) {
	return list, c.call(ctx, "GET", sandboxPath(ref)+"/ports", nil, nil, &list)
}

// AllPorts returns all published ports of the host, those of others too.
func (c *Client) AllPorts(ctx context.Context) (list []PublishedBy, err error) {
	return list, c.call(ctx, "GET", "/v1/ports", nil, nil, &list)
}

// Logs reads the log of a sandbox in the background. The caller closes it.
func (c *Client) Logs(ctx context.Context, ref string, req request.Logs) (io.ReadCloser, error) {
	query := url.Values{}
	if req.Follow {
		query.Set("follow", "true")
	}
	if req.Tail >= 0 {
		query.Set("tail", strconv.Itoa(req.Tail))
	}
	resp, err := c.open(ctx, http.MethodGet, sandboxPath(ref)+"/logs", query, nil)
	if err != nil {
		return nil, err
	}
	return &stream{ReadCloser: resp.Body, explain: func(err error) error { return c.explain(ctx, err) }}, nil
}

// stream is an answer that says what its breaking off means.
type stream struct {
	io.ReadCloser
	explain func(error) error
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.explain(err)
	}
	return n, err
}

// Exec runs a command and returns its output.
func (c *Client) Exec(ctx context.Context, ref string, req request.Exec) (e Executed, err error) {
	return e, c.call(ctx, "POST", sandboxPath(ref)+"/exec", nil, req, &e)
}

// Stop ends a sandbox's process.
func (c *Client) Stop(ctx context.Context, ref string, req request.Stop) error {
	return c.call(ctx, "POST", sandboxPath(ref)+"/stop", nil, req, nil)
}

// Wait waits for the end of a sandbox's process and returns its exit code.
func (c *Client) Wait(ctx context.Context, ref string) (int, error) {
	var e Exit
	err := c.call(ctx, "POST", sandboxPath(ref)+"/wait", nil, nil, &e)
	return e.Code, err
}

// flowLine is a flow or the error that ended the stream.
type flowLine struct {
	Flow
	Error string `json:"error"`
}

// Flows lists the tracked connections as they are read.
func (c *Client) Flows(ctx context.Context) iter.Seq2[Flow, error] {
	return func(yield func(Flow, error) bool) {
		resp, err := c.open(ctx, http.MethodGet, "/v1/flows", nil, nil)
		if err != nil {
			yield(Flow{}, err)
			return
		}
		defer resp.Body.Close()
		dec := json.NewDecoder(resp.Body)
		for {
			var line flowLine
			err := dec.Decode(&line)
			if errors.Is(err, io.EOF) {
				return
			}
			if err == nil && line.Error != "" {
				err = errors.New(line.Error)
			}
			if !yield(line.Flow, err) || err != nil {
				return
			}
		}
	}
}
