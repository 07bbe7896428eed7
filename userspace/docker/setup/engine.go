// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultConfig is where dockerd looks for its configuration.
const DefaultConfig = "/etc/docker/daemon.json"

// Engine is a running dockerd, or none.
type Engine struct {
	// Pid is 0 if none runs in the caller's network namespace.
	Pid int
	// Flags are those of Fairway's concern that were given, by name.
	Flags map[string]string
	// Config is the file that it read.
	Config string
	// Stale is set if Config was changed after the engine started.
	Stale bool
}

// known are the flags of dockerd that matter here, and whether they are boolean.
var known = map[string]bool{
	"iptables": true, "ip6tables": true, "userland-proxy": true, "icc": true, "ip-forward": true,
	"userland-proxy-path": false, "config-file": false, "bip": false, poolFlag: false,
}

// FindEngine looks for a dockerd in the caller's network namespace.
func FindEngine() (Engine, error) {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return Engine{}, fmt.Errorf("own network namespace: %w", err)
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return Engine{}, err
	}
	for _, dir := range dirs {
		raw, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00")
		if filepath.Base(args[0]) != "dockerd" {
			continue
		}
		if ns, err := os.Readlink(filepath.Join(dir, "ns/net")); err != nil || ns != own {
			continue
		}
		e := parseEngine(args)
		e.Pid, _ = strconv.Atoi(filepath.Base(dir))
		e.Stale = changedSince(e.Config, dir)
		return e, nil
	}
	return Engine{Config: DefaultConfig}, nil
}

// changedSince reports whether a file is newer than a process.
func changedSince(file, proc string) bool {
	f, err := os.Stat(file)
	if err != nil {
		return false
	}
	begun, err := startOf(proc)
	return err == nil && f.ModTime().After(begun)
}

// ticks is what proc_pid_stat(5) counts per second, on all architectures.
const ticks = 100

// startOf is when a process began, from its proc directory.
func startOf(proc string) (time.Time, error) {
	raw, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return time.Time{}, err
	}
	// The name, in parentheses, may have anything in it.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	const starttime = 22 - 3
	if len(fields) <= starttime {
		return time.Time{}, fmt.Errorf("%s/stat: %d fields", proc, len(fields))
	}
	since, err := strconv.ParseInt(fields[starttime], 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}, err
	}
	boot := time.Now().Add(-time.Duration(up.Nano()))
	return boot.Add(time.Duration(since) * time.Second / ticks), nil
}

// parseEngine reads the arguments of dockerd as pflag does.
func parseEngine(args []string) Engine {
	e := Engine{Flags: make(map[string]string), Config: DefaultConfig}
	for i := 1; i < len(args); i++ {
		name, isFlag := strings.CutPrefix(args[i], "--")
		if !isFlag {
			continue
		}
		name, value, given := strings.Cut(name, "=")
		boolean, matters := known[name]
		switch {
		case !matters:
			continue
		case given:
		case !boolean && i+1 < len(args):
			i++
			value = args[i]
		default:
			value = "true"
		}
		if before := e.Flags[name]; name == poolFlag && before != "" {
			// The only one that may be given several times.
			value = before + " " + value
		}
		e.Flags[name] = value
	}
	if path := e.Flags["config-file"]; path != "" {
		e.Config = path
	}
	delete(e.Flags, "config-file")
	return e
}
