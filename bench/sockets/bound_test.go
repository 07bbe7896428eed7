// SPDX-License-Identifier: Apache-2.0

package sockets

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestAwaitBound(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	listens, bound := uint16(tcp.Addr().(*net.TCPAddr).Port), uint16(udp.LocalAddr().(*net.UDPAddr).Port)
	for proto, port := range map[string]uint16{"tcp": listens, "udp": bound} {
		if err := awaitBound(t.Context(), os.Getpid(), proto, port); err != nil {
			t.Error(err)
		}
	}
	// A client's socket has a port too, and nobody can connect to it.
	client, err := net.Dial("tcp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := awaitBound(ctx, os.Getpid(), "tcp", uint16(client.LocalAddr().(*net.TCPAddr).Port)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a client's port: %v", err)
	}
	ended := exec.Command("true")
	if err := ended.Start(); err != nil {
		t.Fatal(err)
	}
	defer ended.Wait()
	if err := awaitBound(t.Context(), ended.Process.Pid, "udp", 1); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a process that has ended: %v", err)
	}
}
