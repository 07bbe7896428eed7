// SPDX-License-Identifier: Apache-2.0

package api

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
	"strconv"
	"syscall"

	"github.com/fairway-project/fairway/userspace/request"
)

// Client talks to the daemon at one socket. It is safe for concurrent use.
type Client struct {
	socket string
	http   *http.Client
}

// NewClient returns a client; nothing is dialled yet.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &Client{socket: socket, http: &http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// Close closes the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// ErrUnreachable is wrapped when no daemon answers at the socket.
var ErrUnreachable = errors.New("cannot reach the daemon")

// Error is what the daemon answered. errors.Is tells its kind.
type Error struct {
	Status  int
	Message string
	// ExitCode is set where a command couldn't be started: 125, 126 or 127.
	ExitCode int
}

func (e *Error) Error() string { return e.Message }

// Is maps the status to the kinds of this package.
func (e *Error) Is(kind error) bool {
	switch kind {
	case request.ErrInvalid:
		return e.Status == http.StatusBadRequest
	case request.ErrNotFound:
		return e.Status == http.StatusNotFound
	case request.ErrConflict:
		return e.Status == http.StatusConflict
	case request.ErrTooLarge:
		return e.Status == http.StatusRequestEntityTooLarge
	case request.ErrUnavailable:
		return e.Status == http.StatusServiceUnavailable
	}
	return false
}

// unreachable explains err, which a dial returned.
func (c *Client) unreachable(err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return fmt.Errorf("%w at %s: %w", ErrUnreachable, c.socket, err)
	}
	if errno == syscall.EACCES || errno == syscall.EPERM {
		return fmt.Errorf("%w at %s: %w; are you root or in the socket's group?", ErrUnreachable, c.socket, errno)
	}
	return fmt.Errorf(`%w at %s: %w; is "fairway daemon" running?`, ErrUnreachable, c.socket, errno)
}

// open sends a request and returns the answer if it is not an error. The caller
// closes the body.
func (c *Client) open(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	req, err := newRequest(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		return nil, readError(resp)
	}
	return resp, nil
}

func (c *Client) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
		return c.unreachable(op.Err)
	}
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		err = ue.Err
	}
	return fmt.Errorf("daemon at %s: connection lost: %w", c.socket, err)
}

func newRequest(ctx context.Context, method, path string, query url.Values, body any) (*http.Request, error) {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(encoded)
	}
	// The host part means nothing on a unix socket.
	req, err := http.NewRequestWithContext(ctx, method, "http://fairway"+path, reader)
	if err != nil {
		return nil, err
	}
	req.URL.RawQuery = query.Encode()
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

func readError(resp *http.Response) error {
	e := &Error{Status: resp.StatusCode}
	var body errorBody
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, MaxBody))
	if json.Unmarshal(raw, &body) != nil || body.Error == "" {
		e.Message = "the daemon answered " + strconv.Itoa(resp.StatusCode)
		return e
	}
	e.Message, e.ExitCode = body.Error, body.ExitCode
	return e
}

// call sends body and decodes the answer into answer; either may be nil.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body, answer any) error {
	resp, err := c.open(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("answer to %s %s: %w", method, path, err)
	}
	return nil
}

func networkPath(ref string) string { return "/v1/networks/" + url.PathEscape(ref) }

func sandboxPath(ref string) string { return "/v1/sandboxes/" + url.PathEscape(ref) }

func servicePath(ref string) string { return "/v1/services/" + url.PathEscape(ref) }

func filterQuery(filters []string) url.Values {
	return url.Values{"filter": filters}
}

func countsQuery(filters []string) url.Values {
	query := filterQuery(filters)
	query.Set("counts", "true")
	return query
}
