// SPDX-License-Identifier: Apache-2.0

package link

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sysctl is a setting of a device in /proc/sys/net/FAMILY/conf. The names of
// devices may have dots in them, so settings are never written with dots here.
type sysctl struct {
	family, device, name, value string
}

func (s sysctl) path() string {
	return filepath.Join("/proc/sys/net", s.family, "conf", s.device, s.name)
}

// setAll writes the settings of the namespace that the calling thread is in.
func setAll(settings []sysctl) error {
	for _, s := range settings {
		if err := s.set(); err != nil {
			return err
		}
	}
	return nil
}

func (s sysctl) set() error {
	err := writeSysctl(s.path(), s.value)
	wantsIPv6 := s.name == "disable_ipv6" && s.value == "0"
	if errors.Is(err, fs.ErrNotExist) && s.family == "ipv6" && !wantsIPv6 && !hasIPv6() {
		// A kernel without IPv6 has nothing to switch off.
		return nil
	}
	return err
}

func hasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

func writeSysctl(path, value string) error {
	// Writing a value again can have effects (disable_ipv6 flushes), and fails
	// on a read-only /proc/sys even where nothing is to be changed.
	if now, err := os.ReadFile(path); err == nil && string(bytes.TrimSpace(now)) == value {
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("sysctl: %w", err)
	}
	_, err = f.WriteString(value)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sysctl %s = %s: %w", path, value, err)
	}
	return nil
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
