// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairway-project/fairway/userspace/datapath"
)

// forwardFrom lets packets that come in on the network's bridge be forwarded:
// the FIB answers the programs' questions for such devices only, and the stack
// carries the slow path. It stays with that one device: the host as a whole
// doesn't become a router between its uplinks, as it would by net.ipv4.ip_forward.
func forwardFrom(n datapath.Network) error {
	var errs []error
	if n.IPv4 != nil {
		errs = append(errs, writeForwarding("ipv4", n.Device.Name))
	}
	if n.IPv6 != nil {
		errs = append(errs, writeForwarding("ipv6", n.Device.Name))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("network %s: %w", n.Name, err)
	}
	return nil
}

// check refuses networks that couldn't reach the outside in first-packet
// mode, where the host's stack forwards the packets that are judged. The host isn't
// made a router here: what it may route then, its FORWARD rules have to say.
func (r *rules) check(n datapath.Network) error {
	if r == nil || n.Internal {
		return nil
	}
	if n.IPv4 != nil {
		if err := forwards("net.ipv4.ip_forward"); err != nil {
			return fmt.Errorf("network %s: %w", n.Name, err)
		}
	}
	if n.IPv6 != nil {
		if err := forwards("net.ipv6.conf.all.forwarding"); err != nil {
			return fmt.Errorf("network %s: %w", n.Name, err)
		}
	}
	return nil
}

func forwards(sysctl string) error {
	raw, err := os.ReadFile(filepath.Join("/proc/sys", strings.ReplaceAll(sysctl, ".", "/")))
	if err != nil {
		return fmt.Errorf("%s: %w", sysctl, err)
	}
	if value := strings.TrimSpace(string(raw)); value == "0" {
		return fmt.Errorf("%s is 0: netfilter can't judge what isn't forwarded (first-packet): set it, and see to what FORWARD lets the host route", sysctl)
	}
	return nil
}

// writeForwarding writes the calling thread's namespace's setting. A kernel
// without the family has nothing to set.
func writeForwarding(family, device string) error {
	path := filepath.Join("/proc/sys/net", family, "conf", device, "forwarding")
	err := os.WriteFile(path, []byte("1"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join("/proc/sys/net", family)); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("forwarding on %s: %w", device, err)
	}
	return nil
}
