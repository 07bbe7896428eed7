// SPDX-License-Identifier: Apache-2.0

package link

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sysctl is a setting of a device in /proc/sys/net/FAMILY/conf. The names of
// devices may have dots in them, so settings are never written with dots here.
type sysctl struct {
	family, device, name, value string
}

func (s sysctl) dir() string { return filepath.Join("/proc/sys/net", s.family, "conf", s.device) }

// setAll writes the settings of the namespace that the calling thread is in. It looks up
// the directory of each device's family once: the kernel compares what it is asked for with
// the directories of that name in all namespaces there are.
func setAll(settings []sysctl) error {
	for len(settings) > 0 {
		dir, n := settings[0].dir(), 1
		for n < len(settings) && settings[n].dir() == dir {
			n++
		}
		if err := setIn(dir, settings[:n]); err != nil {
			return err
		}
		settings = settings[n:]
	}
	return nil
}

// setIn writes settings that are in one directory.
func setIn(dir string, settings []sysctl) error {
	in, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) && !hasIPv6() && !slices.ContainsFunc(settings, sysctl.needsIPv6) {
		// A kernel without IPv6 has nothing to switch off.
		return nil
	}
	if err != nil {
		return fmt.Errorf("sysctl: %w", err)
	}
	defer in.Close()
	for _, s := range settings {
		if err := writeSysctl(in, s.name, s.value); err != nil {
			return err
		}
	}
	return nil
}

// needsIPv6 tells what can't be had of a kernel without IPv6.
func (s sysctl) needsIPv6() bool {
	return s.family != "ipv6" || s.name == "disable_ipv6" && s.value == "0"
}

func hasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

// writeSysctl gives the setting called name in a directory a value, unless it has it: writing
// it again can have effects (disable_ipv6 flushes), and can't be done on a read-only
// /proc/sys, where nothing may have to be changed.
func writeSysctl(in *os.Root, name, value string) error {
	path := filepath.Join(in.Name(), name)
	f, unwritable := in.OpenFile(name, os.O_RDWR, 0)
	if unwritable != nil {
		now, err := in.ReadFile(name)
		if err == nil && string(bytes.TrimSpace(now)) == value {
			return nil
		}
		return fmt.Errorf("sysctl %s = %s: %w", path, value, unwritable)
	}
	// More than a page has no setting of a device.
	now := make([]byte, os.Getpagesize())
	n, err := f.ReadAt(now, 0)
	if (err == nil || errors.Is(err, io.EOF)) && string(bytes.TrimSpace(now[:n])) == value {
		return f.Close()
	}
	_, err = f.WriteAt([]byte(value), 0)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sysctl %s = %s: %w", path, value, err)
	}
	return nil
}

// setPath is writeSysctl for a setting by itself.
func setPath(path, value string) error {
	in, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("sysctl %s: %w", path, err)
	}
	defer in.Close()
	return writeSysctl(in, filepath.Base(path), value)
}

// endpointSysctl returns the file of a setting as Docker writes it in
// com.docker.network.endpoint.sysctls: net.ipv6.conf.IFNAME.accept_ra, with
// IFNAME for the name of the interface. Only net.*.*.IFNAME.* is allowed.
func endpointSysctl(key, ifname string) (string, error) {
	parts := strings.Split(key, ".")
	if len(parts) != 5 || parts[0] != "net" || parts[3] != "IFNAME" {
		return "", fmt.Errorf("sysctl %q: want net.X.Y.IFNAME.Z", key)
	}
	for _, p := range parts {
		if p == "" || strings.ContainsAny(p, "/\x00") {
			return "", fmt.Errorf("sysctl %q: want net.X.Y.IFNAME.Z", key)
		}
	}
	return filepath.Join("/proc/sys/net", parts[1], parts[2], ifname, parts[4]), nil
}
