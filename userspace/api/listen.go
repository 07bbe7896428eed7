// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// DefaultSocket is where the client looks for the daemon.
const DefaultSocket = "/run/fairway/fairway.sock"

// SocketName is the name of the socket in the daemon's run directory.
const SocketName = "fairway.sock"

// maxSocketPath is what fits into sockaddr_un.sun_path with its final NUL (unix(7)).
const maxSocketPath = 107

// Listen makes the socket at path with mode 0660. Its directory is made if it isn't
// there, and else left as it is: it may be /run or /tmp. A socket that a dead daemon
// left behind is replaced; the caller holds the lock that keeps a second daemon away.
func Listen(path string) (net.Listener, error) {
	if err := CheckSocketPath(path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, err
	}
	if err := removeSocket(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// CheckSocketPath refuses a path that is too long for a socket.
func CheckSocketPath(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("socket %s: path of %d bytes; the kernel takes at most %d, choose a shorter --run-dir",
			path, len(path), maxSocketPath)
	}
	return nil
}

func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("socket %s: something else is there (%s); remove it", path, info.Mode().Type())
	}
	return os.Remove(path)
}
