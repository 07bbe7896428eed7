// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/fairway-project/fairway/userspace/request"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// Protocol is the name in the Upgrade header of an attached run or exec. After
// the 101 answer
//
//  1. the client sends one byte with three file descriptors (SCM_RIGHTS): the
//     process's standard input, output and error;
//  2. the server starts the process and writes {"started":{...}}, or
//     {"error":"...","status":N} and closes;
//  3. the client may write lines {"signal":N};
//  4. the server writes {"exit":{"code":N}} and closes.
//
// A client that goes away before the exit leaves the process running.
const Protocol = "fairway-stdio"

// stdioTimeout is the time that a client has to pass its files.
const stdioTimeout = 10 * time.Second

// attachEvent is one line from the server.
type attachEvent struct {
	Started *Started `json:"started,omitempty"`
	Exit    *Exit    `json:"exit,omitempty"`
	*Failure
}

// Failure is what an error answer of this status would have been.
type Failure struct {
	errorBody
	Status int `json:"status"`
}

// attachSignal is one line from the client.
type attachSignal struct {
	Signal int `json:"signal"`
}

type startFunc func(context.Context, *request.Stdio) (Started, request.Process, error)

func wantsUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), Protocol) &&
		strings.Contains(strings.ToLower(r.Header.Get("Connection")), "upgrade")
}

// attach upgrades the connection and runs the process over it. The request's
// body has been read.
func (h *handlers) attach(w http.ResponseWriter, tty bool, start startFunc) error {
	conn, err := hijack(w)
	if err != nil {
		return err
	}
	defer conn.Close()
	// The client's end of the connection ends the waiting, never the process.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := h.converse(ctx, cancel, conn, tty, start); err != nil {
		h.log.Debug("attached client", "err", err)
	}
	return nil
}

func hijack(w http.ResponseWriter) (*net.UnixConn, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	uc, ok := conn.(*net.UnixConn)
	if !ok || buffered.Reader.Buffered() > 0 {
		conn.Close()
		return nil, http.ErrAbortHandler
	}
	_, err = uc.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + Protocol + "\r\n\r\n"))
	if err != nil {
		uc.Close()
		return nil, http.ErrAbortHandler
	}
	return uc, nil
}

func (h *handlers) converse(ctx context.Context, gone func(), conn *net.UnixConn, tty bool, start startFunc) error {
	enc := json.NewEncoder(conn)
	stdio, err := receiveStdio(conn)
	if err != nil {
		return errors.Join(err, enc.Encode(eventOf(request.Mark(request.ErrInvalid, err))))
	}
	if tty && !term.IsTerminal(int(stdio.Stdin.Fd())) {
		stdio.Close()
		return enc.Encode(eventOf(request.Errorf(request.ErrInvalid, "tty: standard input is not a terminal")))
	}
	started, proc, err := start(ctx, stdio)
	stdio.Close()
	if err != nil {
		return enc.Encode(eventOf(err))
	}
	if err := enc.Encode(attachEvent{Started: &started}); err != nil {
		return err
	}
	go func() {
		defer gone()
		forwardSignals(conn, proc)
	}()
	code, err := proc.Wait(ctx)
	if err != nil {
		return enc.Encode(eventOf(err))
	}
	return enc.Encode(attachEvent{Exit: &Exit{Code: code}})
}

func receiveStdio(conn *net.UnixConn) (*request.Stdio, error) {
	if err := conn.SetReadDeadline(time.Now().Add(stdioTimeout)); err != nil {
		return nil, err
	}
	defer conn.SetReadDeadline(time.Time{})
	files, err := sandbox.ReceiveStdio(conn)
	if err != nil {
		return nil, err
	}
	return &request.Stdio{Stdin: files[0], Stdout: files[1], Stderr: files[2]}, nil
}

func eventOf(err error) attachEvent {
	return attachEvent{Failure: &Failure{errorBody: bodyOf(err), Status: statusOf(err)}}
}

// forwardSignals passes on the client's signals until the connection ends.
func forwardSignals(conn net.Conn, proc request.Process) {
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		var s attachSignal
		if json.Unmarshal(lines.Bytes(), &s) != nil || s.Signal < 1 || s.Signal > 64 {
			return
		}
		_ = proc.Signal(syscall.Signal(s.Signal))
	}
}
