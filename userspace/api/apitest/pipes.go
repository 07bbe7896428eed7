// SPDX-License-Identifier: Apache-2.0

package apitest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections work in the time of package synctest.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// OpenFor returns for how long serve lets a client stay, in the time of synctest,
// that sends some of its request at once and the rest one byte a second. It gives up
// after an hour.
func OpenFor(t *testing.T, serve func(t *testing.T, l net.Listener) error, atOnce, slowly string) (open time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		var running sync.WaitGroup
		defer running.Wait()
		defer l.Close()
		running.Go(func() {
			if err := serve(t, l); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
		conn, server := net.Pipe()
		l.conns <- server
		defer conn.Close()
		running.Go(func() { trickle(conn, atOnce, slowly) })
		started := time.Now()
		conn.SetReadDeadline(started.Add(time.Hour))
		io.Copy(io.Discard, conn)
		open = time.Since(started)
	})
	return open
}

func trickle(w io.Writer, atOnce, slowly string) {
	if _, err := io.WriteString(w, atOnce); err != nil {
		return
	}
	for _, b := range []byte(slowly) {
		time.Sleep(time.Second)
		if _, err := w.Write([]byte{b}); err != nil {
			return
		}
	}
}
