// SPDX-License-Identifier: Apache-2.0

package harness

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// unacknowledged are the states, as /proc/net/tcp numbers them, in which a socket that was
// closed repeats itself until its peer answers: FIN_WAIT1, LAST_ACK and CLOSING.
var unacknowledged = []string{"04", "09", "0B"}

// endUnacknowledged ends the connections of the namespace that were closed and whose peers,
// which are gone, never said that they know. What they repeat for minutes would leave by the
// default route as soon as their network is gone.
func (n *Netns) endUnacknowledged() error {
	left, err := n.lingering()
	if err != nil || len(left) == 0 {
		return err
	}
	if _, err := n.Output("ss", "-K", "-n", "-t", "state", "fin-wait-1", "state", "last-ack", "state", "closing"); err != nil {
		return err
	}
	if left, err = n.lingering(); err == nil && len(left) > 0 {
		err = fmt.Errorf("connections that are closed go on: %q", left)
	}
	return err
}

// lingering lists the sockets in these states.
func (n *Netns) lingering() (found []string, err error) {
	err = n.Do(func() error {
		for table, counts := range map[string]string{"tcp": "sockstat", "tcp6": "sockstat6"} {
			// To read a table is a walk through the buckets of all namespaces.
			raw, err := os.ReadFile("/proc/thread-self/net/" + counts)
			if err != nil {
				return err
			}
			if noSockets(raw) {
				continue
			}
			if raw, err = os.ReadFile("/proc/thread-self/net/" + table); err != nil {
				return err
			}
			for line := range strings.Lines(string(raw)) {
				if f := strings.Fields(line); len(f) > 3 && slices.Contains(unacknowledged, f[3]) {
					found = append(found, strings.TrimSpace(line))
				}
			}
		}
		return nil
	})
	return found, err
}

// noSockets tells from a sockstat that there are none of TCP.
func noSockets(sockstat []byte) bool {
	for line := range strings.Lines(string(sockstat)) {
		f := strings.Fields(line)
		if len(f) > 2 && (f[0] == "TCP:" || f[0] == "TCP6:") && f[1] == "inuse" {
			return f[2] == "0"
		}
	}
	return false
}
