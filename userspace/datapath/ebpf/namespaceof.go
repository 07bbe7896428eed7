// SPDX-License-Identifier: Apache-2.0

package ebpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"

	"github.com/fairway-project/fairway/userspace/netns"
)

var errNoProcess = errors.New("no process is in the other end's network namespace")

// namespaceOf returns a path of the network namespace that has the number id in
// the thread's own, by a process that lives in it.
func namespaceOf(id int) (string, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return "", err
	}
	asked := make(map[string]bool)
	for _, path := range paths {
		// What the link says identifies the namespace: each is asked once.
		name, err := os.Readlink(path)
		if err != nil || asked[name] {
			continue
		}
		asked[name] = true
		if is, err := hasNumber(path, id); err == nil && is {
			return path, nil
		}
	}
	return "", errNoProcess
}

func hasNumber(path string, id int) (bool, error) {
	ns, err := netns.Open(path)
	if err != nil {
		return false, err
	}
	defer ns.Close()
	number, err := netlink.GetNetNsIdByFd(ns.Fd())
	if err != nil {
		return false, fmt.Errorf("namespace %s: %w", path, err)
	}
	return number == id, nil
}
