// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// SendStdio passes the three standard streams over conn (SCM_RIGHTS, unix(7)).
// They stay open here. Send them only after the other side took conn over from
// any reader with a buffer: such a reader would lose them.
func SendStdio(conn *net.UnixConn, files [3]*os.File) error {
	rights := unix.UnixRights(int(files[0].Fd()), int(files[1].Fd()), int(files[2].Fd()))
	// Descriptors need a byte to travel with.
	if _, _, err := conn.WriteMsgUnix([]byte{0}, rights, nil); err != nil {
		return fmt.Errorf("send standard streams: %w", err)
	}
	return nil
}

// ReceiveStdio takes what SendStdio passed. The caller closes the files. Anything
// but three descriptors is an error, and they are closed.
func ReceiveStdio(conn *net.UnixConn) ([3]*os.File, error) {
	var none [3]*os.File
	data, control := make([]byte, 1), make([]byte, unix.CmsgSpace(8*4))
	n, oobn, flags, _, err := conn.ReadMsgUnix(data, control)
	if err != nil {
		return none, fmt.Errorf("receive standard streams: %w", err)
	}
	fds, err := descriptors(control[:oobn])
	if err == nil && (n != 1 || len(fds) != 3 || flags&unix.MSG_CTRUNC != 0) {
		err = fmt.Errorf("receive standard streams: got %d descriptors, want 3", len(fds))
	}
	if err != nil {
		for _, fd := range fds {
			err = errors.Join(err, unix.Close(fd))
		}
		return none, err
	}
	return [3]*os.File{
		os.NewFile(uintptr(fds[0]), "stdin"),
		os.NewFile(uintptr(fds[1]), "stdout"),
		os.NewFile(uintptr(fds[2]), "stderr"),
	}, nil
}

func descriptors(control []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, fmt.Errorf("receive standard streams: %w", err)
	}
	var fds []int
	for _, m := range messages {
		rights, err := unix.ParseUnixRights(&m)
		if err != nil {
			return fds, fmt.Errorf("receive standard streams: %w", err)
		}
		fds = append(fds, rights...)
	}
	return fds, nil
}
