// SPDX-License-Identifier: Apache-2.0

// Package proxies finds the processes that a Docker Engine starts for published
// ports, one for each (--userland-proxy-path), and what they hold by their
// arguments: Docker's protocol with them has no other memory.
package proxies

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/docker/facts"
	"github.com/fairway-project/fairway/userspace/model"
)

// Name is what the program is called; tools look for it.
const Name = "docker-proxy"

// Scan returns what the proxies hold that run in the network namespace of the
// calling process, by process ID. Processes that end meanwhile are left out.
func Scan() (map[int]facts.Held, error) {
	return scan("/proc", "/proc/self/ns/net")
}

func scan(proc, namespace string) (map[int]facts.Held, error) {
	own, err := os.Readlink(namespace)
	if err != nil {
		return nil, fmt.Errorf("own network namespace: %w", err)
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	found := make(map[int]facts.Held)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		args, err := arguments(filepath.Join(proc, e.Name()))
		if err != nil {
			return nil, err
		}
		held, ok := Parse(args)
		if !ok {
			continue
		}
		if ns, err := os.Readlink(filepath.Join(proc, e.Name(), "ns/net")); err == nil && ns == own {
			found[pid] = held
		}
	}
	return found, nil
}

// arguments returns nil for a process that is gone.
func arguments(dir string) ([]string, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("arguments of a process: %w", err)
	}
	return strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00"), nil
}

// holds reports whether the process pid is the proxy that holds h.
func holds(pid int, h facts.Held) bool {
	args, err := arguments(filepath.Join("/proc", strconv.Itoa(pid)))
	if err != nil {
		return false
	}
	is, ok := Parse(args)
	return ok && is == h
}

// Parse reads the arguments that Docker gives its proxy, the program's name first.
func Parse(args []string) (held facts.Held, ok bool) {
	if len(args) < 1 || filepath.Base(args[0]) != Name {
		return held, false
	}
	value := make(map[string]string)
	for i := 1; i+1 < len(args); i++ {
		if name, isFlag := strings.CutPrefix(args[i], "-"); isFlag {
			value[strings.TrimPrefix(name, "-")] = args[i+1]
		}
	}
	var errs [5]error
	held.Port.Proto, errs[0] = model.ParseProto(value["proto"])
	held.HostIP, errs[1] = netip.ParseAddr(value["host-ip"])
	held.HostPort, errs[2] = port(value["host-port"])
	held.Target, errs[3] = netip.ParseAddr(value["container-ip"])
	held.Port.Num, errs[4] = port(value["container-port"])
	held.HostIP, held.Target = held.HostIP.Unmap(), held.Target.Unmap()
	return held, errors.Join(errs[:]...) == nil
}

func port(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	return uint16(n), err
}
