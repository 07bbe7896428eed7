// SPDX-License-Identifier: Apache-2.0

// Package client asks a Docker Engine for the few things that Fairway has to
// know, over its unix socket. Docker's own client libraries refuse engines
// before API 1.44, and Debian 12's has 1.41.
//
// Be aware:
//   - Container waits for the container's lock, which is held until a starting
//     container runs: it is not for any path that Docker waits for. Lists and the
//     inspection of networks are answered from copies;
//   - events are best-effort in Docker: a subscriber that is slow loses some and
//     isn't told. Lists are the truth.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// timeout bounds every call but the event stream.
	timeout = 10 * time.Second
	// newest is the newest version of the API that this client was written for,
	// oldest what it falls back to if the engine names none.
	newest, oldest = "1.47", "1.40"
	// maxAnswer bounds an answer in bytes; a list of 10,000 containers fits.
	maxAnswer = 64 << 20
	// maxError bounds the text of an error.
	maxError = 4 << 10
)

// ErrNotFound is wrapped when what was asked for doesn't exist (any more).
var ErrNotFound = errors.New("not found")

// Client talks to the engine at one socket. It is safe for concurrent use.
type Client struct {
	socket  string
	http    *http.Client
	version atomic.Pointer[string]
}

// New returns a client for a socket given as a path or as unix://PATH. Nothing is
// dialled yet.
func New(host string) (*Client, error) {
	path, err := SocketPath(host)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{socket: path, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
}

// SocketPath returns the path in unix://PATH, or an absolute path as it is.
func SocketPath(host string) (string, error) {
	path := strings.TrimPrefix(host, "unix://")
	if !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("docker socket %q: want unix:///PATH; other transports aren't supported", host)
	}
	return path, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Socket is the path that the client dials.
func (c *Client) Socket() string { return c.socket }

// Connect asks for the engine's API version and uses it, or the newest that this
// client knows, from now on. It is called for every new connection of a watcher:
// the engine may have been replaced by another.
func (c *Client) Connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, err := c.do(ctx, "/_ping", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxError)); err != nil {
		return fmt.Errorf("docker at %s: %w", c.socket, err)
	}
	v := negotiate(resp.Header.Get("Api-Version"))
	c.version.Store(&v)
	return nil
}

// negotiate returns the lower of the engine's version and ours.
func negotiate(engine string) string {
	var major, minor, ourMinor int
	if _, err := fmt.Sscanf(engine, "%d.%d", &major, &minor); err != nil {
		return oldest
	}
	if _, err := fmt.Sscanf(newest, "1.%d", &ourMinor); err != nil || major != 1 || minor > ourMinor {
		return newest
	}
	return engine
}

// Version describes the engine.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	return v, c.get(ctx, "/version", nil, &v)
}

// Networks lists all networks, without their endpoints.
func (c *Client) Networks(ctx context.Context) (list []Network, err error) {
	return list, c.get(ctx, "/networks", nil, &list)
}

// Network returns one network with its endpoints on this host.
func (c *Client) Network(ctx context.Context, id string) (n Network, err error) {
	return n, c.get(ctx, "/networks/"+url.PathEscape(id), nil, &n)
}

// Containers lists the running containers: those with these IDs, or all if none is given.
// The engine looks the IDs up, and at no other container.
func (c *Client) Containers(ctx context.Context, ids ...string) (list []Container, err error) {
	var query url.Values
	if len(ids) > 0 {
		filters, err := json.Marshal(map[string][]string{"id": ids})
		if err != nil {
			return nil, fmt.Errorf("filter of containers: %w", err)
		}
		query = url.Values{"filters": {string(filters)}}
	}
	return list, c.get(ctx, "/containers/json", query, &list)
}

// Container returns what a container was created with. It may take until the
// container runs.
func (c *Client) Container(ctx context.Context, id string) (w Wanted, err error) {
	return w, c.get(ctx, "/containers/"+url.PathEscape(id)+"/json", nil, &w)
}

// get decodes an answer into v.
func (c *Client) get(ctx context.Context, path string, query url.Values, v any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	resp, err := c.do(ctx, c.versioned(path), query)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(v); err != nil {
		return fmt.Errorf("docker at %s: answer to GET %s: %w", c.socket, path, err)
	}
	return nil
}

func (c *Client) versioned(path string) string {
	if v := c.version.Load(); v != nil {
		return "/v" + *v + path
	}
	return path
}

// do sends a GET; the caller closes the body.
func (c *Client) do(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker"+path, nil)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query.Encode()
	resp, err := c.http.Do(req)
	if err != nil {
		if ue := (*url.Error)(nil); errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("docker at %s: %w", c.socket, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refused(path, resp)
}

func (c *Client) refused(path string, resp *http.Response) error {
	var body struct{ Message string }
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxError))
	if json.Unmarshal(raw, &body) != nil || body.Message == "" {
		body.Message = resp.Status
	}
	if resp.StatusCode == http.StatusNotFound {
		return fmt.Errorf("docker at %s: GET %s: %s: %w", c.socket, path, body.Message, ErrNotFound)
	}
	return fmt.Errorf("docker at %s: GET %s: %s", c.socket, path, body.Message)
}
