// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// stdioFiles is how many files travel: standard input, output and error.
const stdioFiles = 3

// sendStdio passes copies of the files to the other end of conn, with one byte
// of data, because the kernel carries descriptors only along with data (unix(7)).
func sendStdio(conn *net.UnixConn, s *Stdio) error {
	var fds []int
	for _, f := range []*os.File{s.Stdin, s.Stdout, s.Stderr} {
		fds = append(fds, int(f.Fd()))
	}
	if _, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(fds...), nil); err != nil {
		return fmt.Errorf("pass standard files: %w", err)
	}
	return nil
}

// receiveStdio takes the files that sendStdio sent. The caller closes them.
func receiveStdio(conn *net.UnixConn, timeout time.Duration) (*Stdio, error) {
	if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	defer conn.SetReadDeadline(time.Time{})
	data := make([]byte, 1)
	// Room for more than is wanted: what doesn't fit the kernel closes silently.
	control := make([]byte, unix.CmsgSpace(4*(stdioFiles+1)))
	// net.UnixConn asks for MSG_CMSG_CLOEXEC.
	n, cn, _, _, err := conn.ReadMsgUnix(data, control)
	if err != nil {
		return nil, fmt.Errorf("receive standard files: %w", err)
	}
	fds, err := rights(control[:cn])
	if n != 1 || err != nil || len(fds) != stdioFiles {
		closeAll(fds)
		return nil, errors.Join(fmt.Errorf("receive standard files: got %d; want %d", len(fds), stdioFiles), err)
	}
	return &Stdio{
		Stdin:  os.NewFile(uintptr(fds[0]), "stdin"),
		Stdout: os.NewFile(uintptr(fds[1]), "stdout"),
		Stderr: os.NewFile(uintptr(fds[2]), "stderr"),
	}, nil
}

func rights(control []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		got, err := unix.ParseUnixRights(&m)
		if err != nil {
			return fds, err
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
