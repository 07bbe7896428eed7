// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net"
	"os"
)

// notifySystemd tells systemd, where it asked for it, of the daemon's state
// (sd_notify(3)). Nobody there is no error.
func notifySystemd(state string) error {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(state))
	return err
}
