// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"
)

// Bulk sends size bytes through an echo server and compares what comes back.
func (c *TCPConn) Bulk(size int) error {
	_ = c.SetDeadline(time.Now().Add(Patience))
	data := make([]byte, size)
	src := rand.NewChaCha8([32]byte{byte(size)})
	_, _ = src.Read(data)
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		if err == nil {
			err = c.CloseWrite()
		}
		sent <- err
	}()
	got, err := io.ReadAll(c)
	if sendErr := <-sent; sendErr != nil {
		return fmt.Errorf("send: %w", sendErr)
	}
	if err != nil {
		return fmt.Errorf("after %d of %d bytes: %w", len(got), size, err)
	}
	if !bytes.Equal(got, data) {
		return fmt.Errorf("%d bytes came back, %d sent; they differ", len(got), size)
	}
	return nil
}

// NarrowRouter makes the router's both sides take packets of at most mtu bytes
// for forwarding. The devices keep their MTU, so that the ends don't learn of it
// by any other way than ICMP.
func (w *Topology) NarrowRouter(t testing.TB, mtu int) {
	t.Helper()
	lock := fmt.Sprintf(" mtu lock %d", mtu)
	near, far := "route replace 192.0.2.0/24 dev eth0 proto kernel scope link src "+RouterIP4, "route replace 198.51.100.0/24 dev eth1 proto kernel scope link src 198.51.100.1"
	near6, far6 := " 2001:db8::/64 dev eth0 metric 1", " 2001:db8:1::/64 dev eth1 metric 1"
	w.Router.While(t, []string{near + lock, far + lock, "route add" + near6 + lock, "route add" + far6 + lock},
		[]string{near, far, "route del" + near6, "route del" + far6})
}
