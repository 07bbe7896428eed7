// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/fairway-project/fairway/userspace/model"
)

const (
	// maxBody is how much of an answer is read: enough for a server to get rid of what
	// a check should answer.
	maxBody = 64 << 10
	// maxHeader bounds an answer's header.
	maxHeader = 16 << 10
	// userAgent is what servers write into their logs.
	userAgent = "fairway-health"
)

// prober asks for real.
type prober struct {
	dialer net.Dialer
	// transport opens a connection for each check: one that is kept would ask a
	// process that is about to go, and not whether the next client gets one.
	transport *http.Transport
}

func newProber() *prober {
	p := &prober{dialer: net.Dialer{KeepAlive: -1}}
	p.transport = &http.Transport{
		DialContext: p.dialer.DialContext, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
	}
	return p
}

// probe returns nil if the target serves. ctx bounds it.
func (p *prober) probe(ctx context.Context, t Target) (err error) {
	if t.Check.Kind == model.HealthHTTP {
		err = p.get(ctx, t)
	} else {
		err = p.connect(ctx, t)
	}
	if late(err) {
		return fmt.Errorf("no answer of %s within %s: %w", t.Addr, t.Check.Timeout, os.ErrDeadlineExceeded)
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		// Its own text has the port that the check came from, which is another each time.
		return fmt.Errorf("%s %s %s: %w", op.Op, op.Net, t.Addr, op.Err)
	}
	return err
}

// late reports whether time was over.
func late(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

func (p *prober) connect(ctx context.Context, t Target) error {
	c, err := p.dialer.DialContext(ctx, "tcp", t.Addr.String())
	if err != nil {
		return err
	}
	return c.Close()
}

// get wants a status of 2xx or 3xx. Redirections aren't followed: they may lead anywhere.
func (p *prober) get(ctx context.Context, t Target) error {
	where, err := url.Parse("http://" + t.Addr.String() + t.Check.Path)
	if err != nil {
		return fmt.Errorf("http path %q: %w", t.Check.Path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return fmt.Errorf("http path %q: %w", t.Check.Path, err)
	}
	req.Header.Set("User-Agent", userAgent)
	answer, err := p.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 399 {
		return fmt.Errorf("http get %s of %s: status %d", t.Check.Path, t.Addr, answer.StatusCode)
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(answer.Body, maxBody)); err != nil {
		return fmt.Errorf("http get %s of %s: body: %w", t.Check.Path, t.Addr, err)
	}
	return nil
}
