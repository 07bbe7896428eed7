// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"os/exec"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// offloads are those of a veth pair, in a namespace that ends with the thread
// that made it. ethtool knows their names.
func offloads() []Fact {
	result := make(chan []Fact)
	go func() {
		// The thread isn't unlocked, so the runtime ends it.
		runtime.LockOSThread()
		result <- vethOffloads()
	}()
	return <-result
}

func vethOffloads() []Fact {
	if unix.Unshare(unix.CLONE_NEWNET) != nil {
		return nil
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "offload0"
	if netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "offload1"}) != nil {
		return nil
	}
	out, err := exec.Command("ethtool", "-k", attrs.Name).Output()
	if err != nil {
		return nil
	}
	return parseOffloads(string(out))
}

// parseOffloads keeps the ones that change what a packet costs.
func parseOffloads(text string) []Fact {
	wanted := map[string]bool{
		"rx-checksumming": true, "tx-checksumming": true, "scatter-gather": true, "tcp-segmentation-offload": true,
		"generic-segmentation-offload": true, "generic-receive-offload": true, "tx-udp-segmentation": true, "rx-gro-list": true,
	}
	var all []Fact
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(line, ": ")
		if ok && wanted[strings.TrimSpace(name)] {
			all = append(all, Fact{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	return all
}
