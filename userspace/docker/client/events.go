// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Stream is a subscription to the engine's events.
type Stream struct {
	client *Client
	resp   *http.Response
	dec    *json.Decoder
}

// overlap is how far back a subscription goes. The engine answers before it has
// subscribed us (20.10's getEvents flushes first), so that without it what happens
// between would be lost; what comes twice does no harm.
const overlap = 3 * time.Second

// Events subscribes to the events of networks, containers and the engine itself:
// what is listed after it returned and what the stream tells leave no gap. The
// stream ends with ctx or with the engine; the caller closes it.
func (c *Client) Events(ctx context.Context) (*Stream, error) {
	query := url.Values{
		"filters": {`{"type":["network","container","daemon"]}`},
		"since":   {strconv.FormatInt(time.Now().Add(-overlap).Unix(), 10)},
	}
	resp, err := c.do(ctx, c.versioned("/events"), query)
	if err != nil {
		return nil, err
	}
	return &Stream{client: c, resp: resp, dec: json.NewDecoder(resp.Body)}, nil
}

// Next waits for an event. Every error ends the stream.
func (s *Stream) Next() (Event, error) {
	var e Event
	err := s.dec.Decode(&e)
	if errors.Is(err, io.EOF) {
		return e, fmt.Errorf("docker at %s: ended the event stream", s.client.socket)
	}
	if err != nil {
		return e, fmt.Errorf("docker at %s: event stream: %w", s.client.socket, err)
	}
	return e, nil
}

// Close ends the subscription.
func (s *Stream) Close() { s.resp.Body.Close() }
