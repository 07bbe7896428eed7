// SPDX-License-Identifier: Apache-2.0

package test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/test/harness"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// The numbers of the test networks in their subnets, see harness.Network.
const (
	numA, numB, numI = 30, 31, 32
)

// pair makes network a with two sandboxes.
func pair(t *testing.T, e *harness.Env, flags ...string) (c1, c2 *harness.Sandbox) {
	t.Helper()
	e.Network(t, "a", numA, flags...)
	return e.Sandbox(t, "c1", "--network", "a"), e.Sandbox(t, "c2", "--network", "a")
}

// serve starts echo servers for TCP and UDP on one port.
func serve(t testing.TB, n *harness.Netns, port int, tag string) {
	t.Helper()
	harness.ServeTCP(t, n, port, tag)
	harness.ServeUDP(t, n, port, tag)
}

// at joins an address and a port.
func at(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// seenFrom checks which address the server saw.
func seenFrom(t testing.TB, replies map[string]harness.Reply, want string) {
	t.Helper()
	for proto, r := range replies {
		if got := r.Seen.Addr().String(); r.Tag != "" && got != want {
			t.Errorf("over %s the server saw %s, want %s", proto, got, want)
		}
	}
}

type packet = gopacket.Packet

// inUse tells that a program found its address taken.
func inUse(out string) bool { return strings.Contains(out, "Address already in use") }

// tcpSegment is an acknowledgement that belongs to no connection.
func tcpSegment(sport, dport int) *layers.TCP {
	return &layers.TCP{SrcPort: layers.TCPPort(sport), DstPort: layers.TCPPort(dport), ACK: true, Seq: 1000, Ack: 1, Window: 1000}
}
