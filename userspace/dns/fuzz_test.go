// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	mdns "github.com/miekg/dns"
)

// header is that of a query with ID 0x1234 and these counts.
func header(qd, an, ns, ar uint16) []byte {
	h := []byte{0x12, 0x34, 0x01, 0x00}
	for _, n := range []uint16{qd, an, ns, ar} {
		h = binary.BigEndian.AppendUint16(h, n)
	}
	return h
}

// malformed are the messages that name servers are known to have died of.
func malformed() map[string][]byte {
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	deep := header(1, 0, 0, 0)
	for i := range 2000 { // each pointer leads to the one before
		deep = binary.BigEndian.AppendUint16(deep, 0xc000|uint16(12+2*max(i-1, 0)))
	}
	label63 := append([]byte{63}, []byte(strings.Repeat("a", 63))...)
	return map[string][]byte{
		"empty":             {},
		"half a header":     header(1, 0, 0, 0)[:7],
		"no question":       header(0, 0, 0, 0),
		"two questions":     join(header(2, 0, 0, 0), []byte("\x01a\x00\x00\x01\x00\x01\x01b\x00\x00\x01\x00\x01")),
		"question missing":  header(1, 0, 0, 0),
		"65535 of all":      header(0xffff, 0xffff, 0xffff, 0xffff),
		"pointer to itself": join(header(1, 0, 0, 0), []byte{0xc0, 0x0c, 0, 1, 0, 1}),
		"pointers in turns": join(header(1, 0, 0, 0), []byte{0xc0, 0x0e, 0xc0, 0x0c, 0, 1, 0, 1}),
		"chain of pointers": deep,
		"pointer past end":  join(header(1, 0, 0, 0), []byte{0xff, 0xff, 0, 1, 0, 1}),
		"name over 255":     join(header(1, 0, 0, 0), label63, label63, label63, label63, label63, []byte{0, 0, 1, 0, 1}),
		"label type 01":     join(header(1, 0, 0, 0), []byte{0x41, 0, 0, 1, 0, 1}),
		"OPT cut off":       join(header(1, 0, 0, 1), []byte("\x03web\x00\x00\x01\x00\x01\x00\x00\x29\xff\xff\x00\x00\x00\x00\xff\xff")),
		"OPT not at root":   join(header(1, 0, 0, 1), []byte("\x03web\x00\x00\x01\x00\x01\xc0\x0c\x00\x29\x00\x00\x00\x00\x00\x00\x00\x00")),
		"zero bytes":        make([]byte, 4096),
		"nul in a label":    join(header(1, 0, 0, 0), []byte("\x05w\x00.\\b\x00\x00\x01\x00\x01")),
		"good query":        join(header(1, 0, 0, 0), []byte("\x03web\x00\x00\x01\x00\x01")),
		"reverse, too long": join(header(1, 0, 0, 0), []byte("\x011\x011\x011\x011\x011\x07in-addr\x04arpa\x00\x00\x0c\x00\x01")),
	}
}

func TestMalformed(t *testing.T) {
	w := newWorld(t)
	r := w.start(example(), Config{Networks: []Network{{ID: "n1", Name: "front"}}})
	for what, p := range malformed() {
		udp := w.dial(r, "udp")
		_, err := udp.Write(p)
		must(t, err)
		must(t, udp.Close())
		tcp := w.dial(r, "tcp")
		_, err = tcp.Write(binary.BigEndian.AppendUint16(nil, 0xffff))
		must(t, err)
		tcp.Write(p)
		must(t, tcp.Close())
		if got := values(w.ask(r, "udp", "web.", mdns.TypeA)); !cmp.Equal(got, []string{"172.30.0.2"}) {
			t.Fatalf("after %s: %v", what, got)
		}
	}
}

// TestManyConnections has a client that opens more than are accepted and says
// nothing on any.
func TestManyConnections(t *testing.T) {
	w := newWorld(t)
	r := w.start(example(), Config{Networks: []Network{{ID: "n1", Name: "front"}}})
	var idle []net.Conn
	for range maxTCP + 20 {
		idle = append(idle, w.dial(r, "tcp"))
	}
	if got := values(w.ask(r, "udp", "web.", mdns.TypeA)); !cmp.Equal(got, []string{"172.30.0.2"}) {
		t.Errorf("over udp meanwhile: %v", got)
	}
	for _, c := range idle {
		must(t, c.Close())
	}
	if got := values(w.ask(r, "tcp", "web.", mdns.TypeA)); !cmp.Equal(got, []string{"172.30.0.2"}) {
		t.Errorf("over tcp afterwards: %v", got)
	}
}

// TestCloseWithStuckClient closes under a client that asks and never reads.
func TestCloseWithStuckClient(t *testing.T) {
	w := newWorld(t)
	names := NewRegistry()
	for i := range 3000 {
		id := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
		names.Set(Record{EndpointID: id.String(), NetworkID: "n1", Names: []string{"many"}, IPv4: id})
	}
	r := w.start(names, Config{Networks: []Network{{ID: "n1", Name: "front"}}})
	raw := w.dial(r, "tcp")
	defer raw.Close()
	conn := &mdns.Conn{Conn: raw}
	raw.SetWriteDeadline(time.Now().Add(time.Second))
	for range 120 {
		if err := conn.WriteMsg(new(mdns.Msg).SetQuestion("many.", mdns.TypeA)); err != nil {
			break
		}
	}
	started := time.Now()
	must(t, r.Close())
	if took := time.Since(started); took > time.Minute {
		t.Errorf("Close took %s", took)
	}
}

// sink is the client of a fuzzed query.
type sink struct {
	mdns.ResponseWriter
	local net.Addr
	wrote []byte
}

func (s *sink) LocalAddr() net.Addr { return s.local }

func (s *sink) WriteMsg(m *mdns.Msg) (err error) {
	s.wrote, err = m.Pack()
	return err
}

// FuzzQuery hands a message to the resolver as the library would.
func FuzzQuery(f *testing.F) {
	for _, p := range malformed() {
		f.Add(p, true)
		f.Add(p, false)
	}
	r := &Resolver{names: example()}
	r.Update(Config{Networks: []Network{{ID: "n1", Name: "front"}}, Links: []Link{{"x", "db"}}})
	f.Fuzz(func(t *testing.T, p []byte, stream bool) {
		r.log = slog.New(panics{t})
		r.forward = newForwarder(t.Context(), nil, nil, NewShares(), r.log)
		q := new(mdns.Msg)
		if q.Unpack(p) != nil || q.Response {
			return
		}
		w := &sink{local: &net.UDPAddr{}}
		if stream {
			w.local = &net.TCPAddr{}
		}
		most := limit(q, stream)
		r.handle(w, q)
		if len(w.wrote) > most && q.IsTsig() == nil {
			t.Errorf("a reply of %d bytes where %d are allowed", len(w.wrote), most)
		}
		reply := new(mdns.Msg)
		if err := reply.Unpack(w.wrote); err != nil || !reply.Response || reply.Id != q.Id || reply.Opcode != q.Opcode {
			t.Errorf("%v is answered by %v (%v)", q, reply, err)
		}
	})
}

// FuzzReply hands a message to the forwarder as an upstream would.
func FuzzReply(f *testing.F) {
	q := new(mdns.Msg).SetQuestion("web.", mdns.TypeA)
	q.Id = 0x1234
	for _, p := range malformed() {
		f.Add(p, false)
		if len(p) > 2 {
			p[2] |= 0x80
		}
		f.Add(p, true)
	}
	f.Fuzz(func(t *testing.T, p []byte, cut bool) {
		m, ok := parse(p, q, cut)
		if !ok {
			return
		}
		if m.Id != q.Id || !m.Response {
			t.Errorf("took a message that isn't the reply: %v", m)
		}
		m.Truncate(mdns.MinMsgSize)
		m.Pack()
	})
}

// panics is a log handler that makes a recovered panic fail the test.
type panics struct{ tb testing.TB }

func (panics) Enabled(context.Context, slog.Level) bool { return true }
func (p panics) WithAttrs([]slog.Attr) slog.Handler     { return p }
func (p panics) WithGroup(string) slog.Handler          { return p }
func (p panics) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		p.tb.Errorf("logged: %s", r.Message)
		r.Attrs(func(a slog.Attr) bool { p.tb.Log(a); return true })
	}
	return nil
}
