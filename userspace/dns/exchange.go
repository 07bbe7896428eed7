// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	mdns "github.com/miekg/dns"
)

// roundTrip sends query over conn under an ID of its own and returns the reply
// to it, under the query's ID. What doesn't belong to the question is ignored
// until ctx ends; other sources are kept off by the connected socket, and the
// kernel picks its port at random. A datagram, which may get lost, is sent once
// more each time that no reply has come.
func roundTrip(ctx context.Context, conn net.Conn, query *mdns.Msg, again time.Duration) (*mdns.Msg, error) {
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	wire := &mdns.Conn{Conn: conn, UDPSize: udpSize}
	sent := query.Copy()
	sent.Id = mdns.Id()
	sent.Compress = true
	if opt := sent.IsEdns0(); opt != nil {
		// What the client takes says nothing of the way to the upstream, and a buffer
		// of 64 KiB for each query would be a lot.
		opt.SetUDPSize(min(opt.UDPSize(), udpSize))
	}
	_, stream := conn.(*net.TCPConn)
	send := func() error {
		if !stream {
			if err := wakeToResend(ctx, conn, again); err != nil {
				return err
			}
		}
		return wire.WriteMsg(sent)
	}
	if err := send(); err != nil {
		return nil, err
	}
	for {
		p, err := wire.ReadMsgHeader(nil)
		if errors.Is(err, os.ErrDeadlineExceeded) && !stream && ctx.Err() == nil {
			if err := send(); err != nil {
				return nil, err
			}
			continue
		}
		if errors.Is(err, mdns.ErrShortRead) && !stream {
			continue
		}
		if err != nil {
			return nil, err
		}
		reply, ok := parse(p, sent, !stream && len(p) == udpSize)
		if ok {
			reply.Id, reply.Compress = query.Id, true
			return reply, nil
		}
		if stream {
			return nil, fmt.Errorf("reply doesn't belong to the query")
		}
	}
}

// wakeToResend has reads end after again, if a reply can still be awaited then. What
// goes out as the time ends could come round, where an upstream leads back here,
// when there is no equal query left to end at.
func wakeToResend(ctx context.Context, conn net.Conn, again time.Duration) error {
	wake := time.Now().Add(again)
	if end, ok := ctx.Deadline(); ok && end.Sub(wake) < again/2 {
		wake = time.Time{}
	}
	if err := conn.SetReadDeadline(wake); err != nil {
		return err
	}
	// Where ctx ended before, this has undone the deadline that its end set.
	return ctx.Err()
}

// parse reads a message if it is the reply to query. A message that was cut off
// at the end of the buffer is taken for one with the TC bit.
func parse(p []byte, query *mdns.Msg, cut bool) (*mdns.Msg, bool) {
	reply := new(mdns.Msg)
	err := reply.Unpack(p)
	if err != nil && !cut || !belongs(reply, query) {
		return nil, false
	}
	reply.Truncated = reply.Truncated || cut
	return reply, true
}

// belongs compares ID and question. Servers that can't parse a query may leave
// the question out of the error that they return (RFC 1035, 4.1.1).
func belongs(reply, query *mdns.Msg) bool {
	if !reply.Response || reply.Id != query.Id || reply.Opcode != query.Opcode {
		return false
	}
	if len(reply.Question) == 0 {
		return reply.Rcode != mdns.RcodeSuccess && reply.Rcode != mdns.RcodeNameError
	}
	r, q := reply.Question[0], query.Question[0]
	return len(reply.Question) == 1 && r.Qtype == q.Qtype && r.Qclass == q.Qclass && strings.EqualFold(r.Name, q.Name)
}
