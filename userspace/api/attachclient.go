// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"syscall"

	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// ErrLost is wrapped when the daemon went away while a process ran in the
// foreground; the process may go on.
var ErrLost = errors.New("lost the connection to the daemon")

// Attached is a process in the foreground.
type Attached struct {
	Started
	conn   net.Conn
	events *json.Decoder
	write  sync.Mutex
}

// RunAttached starts a sandbox whose process uses the files of stdio. The
// caller closes the result.
func (c *Client) RunAttached(ctx context.Context, req request.Run, stdio *request.Stdio) (*Attached, error) {
	return c.attach(ctx, "/v1/sandboxes/run", url.Values{"attach": {"true"}}, req, stdio)
}

// ExecAttached starts a process in a sandbox that uses the files of stdio. The
// caller closes the result.
func (c *Client) ExecAttached(ctx context.Context, ref string, req request.Exec, stdio *request.Stdio) (*Attached, error) {
	return c.attach(ctx, sandboxPath(ref)+"/exec", nil, req, stdio)
}

func (c *Client) attach(ctx context.Context, path string, query url.Values, body any, stdio *request.Stdio) (*Attached, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	conn := raw.(*net.UnixConn)
	// An end of ctx ends what is waited for below.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	a, err := c.negotiate(ctx, conn, path, query, body, stdio)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return a, nil
}

func (c *Client) negotiate(ctx context.Context, conn *net.UnixConn, path string, query url.Values, body any, stdio *request.Stdio) (*Attached, error) {
	req, err := newRequest(ctx, http.MethodPost, path, query, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", Protocol)
	if err := req.Write(conn); err != nil {
		return nil, c.explain(ctx, err)
	}
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		defer resp.Body.Close()
		return nil, readError(resp)
	}
	if err := sandbox.SendStdio(conn, [3]*os.File{stdio.Stdin, stdio.Stdout, stdio.Stderr}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLost, err)
	}
	a := &Attached{conn: conn, events: json.NewDecoder(reader)}
	e, err := a.next()
	if err != nil {
		return nil, err
	}
	if e.Started == nil {
		return nil, fmt.Errorf("daemon at %s: answered an attach with neither a start nor an error", c.socket)
	}
	a.Started = *e.Started
	return a, nil
}

// next reads one event; one that tells of an error becomes it.
func (a *Attached) next() (attachEvent, error) {
	var e attachEvent
	if err := a.events.Decode(&e); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
			return e, ErrLost
		}
		return e, fmt.Errorf("%w: %w", ErrLost, err)
	}
	if e.Failure != nil {
		return e, &Error{Status: e.Status, Message: e.Error, ExitCode: e.ExitCode}
	}
	return e, nil
}

// Wait waits for the end of the process and returns its exit code.
func (a *Attached) Wait() (int, error) {
	for {
		e, err := a.next()
		if err != nil {
			return 0, err
		}
		if e.Exit != nil {
			return e.Exit.Code, nil
		}
	}
}

// Signal sends a signal to the process.
func (a *Attached) Signal(sig syscall.Signal) error {
	a.write.Lock()
	defer a.write.Unlock()
	return json.NewEncoder(a.conn).Encode(attachSignal{Signal: int(sig)})
}

// Close leaves the process alone.
func (a *Attached) Close() error { return a.conn.Close() }
