// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// connected returns the two ends of a unix socket.
func connected(t *testing.T) (*net.UnixConn, *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		conn, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		ends[i] = conn.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

func TestStdioTravels(t *testing.T) {
	client, server := connected(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := SendStdio(client, [3]*os.File{null, w, w}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	files, err := ReceiveStdio(server)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s would be inherited by other children: %#x, %v", f.Name(), flags, err)
		}
	}
	m := newManager(t)
	spec := newSpec(t, m, "echo out; echo err >&2")
	spec.Stdio = &files
	p, err := m.Start(spec)
	for _, f := range files {
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != "out\nerr\n" {
		t.Errorf("got %q, %v", got, err)
	}
	wait(t, p)
}

func TestReceiveStdioWantsThree(t *testing.T) {
	client, server := connected(t)
	if _, _, err := client.WriteMsgUnix([]byte{0}, unix.UnixRights(0, 1), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := ReceiveStdio(server); err == nil || !strings.Contains(err.Error(), "got 2 descriptors, want 3") {
		t.Errorf("got %v", err)
	}
	if _, err := client.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	if _, err := ReceiveStdio(server); err == nil || !strings.Contains(err.Error(), "got 0 descriptors") {
		t.Errorf("got %v", err)
	}
	client.Close()
	if _, err := ReceiveStdio(server); err == nil {
		t.Error("got nothing from a closed connection without an error")
	}
}
