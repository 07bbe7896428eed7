// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"fmt"
	"net"
	"net/http"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/miekg/dns"
)

// serveAround starts what is around containers: web servers that say whom they
// see on the host and outside, and name servers on the LAN and outside.
func (w *walk) serveAround() {
	w.t.Helper()
	w.greets(w.Host, ":9000", "the host")
	w.greets(w.WAN, ":80", "the server outside")
	w.names(w.LAN1, map[string]string{"shop.example.": harness.WANIP4})
	w.names(w.WAN, nil)
}

func (w *walk) greets(n *harness.Netns, addr, tag string) {
	w.t.Helper()
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = net.Listen("tcp4", addr)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(out, "%s greets %s\n", tag, client)
	})}
	go func() { _ = server.Serve(l) }()
	w.t.Cleanup(func() { server.Close() })
}

// names serves DNS: these names with these addresses, and no others.
func (w *walk) names(n *harness.Netns, addresses map[string]string) {
	w.t.Helper()
	var conn net.PacketConn
	err := n.Do(func() (err error) {
		conn, err = net.ListenPacket("udp4", ":53")
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(out dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		asked := q.Question[0]
		address, known := addresses[asked.Name]
		switch {
		case !known:
			m.Rcode = dns.RcodeNameError
		case asked.Qtype == dns.TypeA:
			m.Answer = append(m.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.ParseIP(address),
			})
		}
		_ = out.WriteMsg(m)
	})}
	go func() { _ = server.ActivateAndServe() }()
	w.t.Cleanup(func() { conn.Close() })
}
