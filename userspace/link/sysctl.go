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

// confDir has the devices' directories.
func confDir(family string) string { return filepath.Join("/proc/sys/net", family, "conf") }

// confs are the directories of the devices' settings of one network namespace, by family, as
// far as they are open. To look one up takes the kernel long where there are many namespaces:
// it compares with the directories of that name in all of them.
type confs map[string]*os.Root

// openConfs opens those of the namespace that the calling thread is in. The caller closes them.
func openConfs() (c confs, err error) {
	c = make(confs)
	for _, family := range []string{"ipv4", "ipv6"} {
		c[family], err = os.OpenRoot(confDir(family))
		if errors.Is(err, fs.ErrNotExist) {
			delete(c, family)
			continue
		}
		if err != nil {
			delete(c, family)
			return nil, errors.Join(fmt.Errorf("sysctl: %w", err), c.close())
		}
	}
	return c, nil
}

func (c confs) close() error {
	var errs []error
	for _, in := range c {
		errs = append(errs, in.Close())
	}
	return errors.Join(errs...)
}

// setAll writes settings of the namespace that the calling thread is in, whose directories
// are c if any are open. Each device's directory is looked up once for those that follow each
// other.
func (c confs) setAll(settings []sysctl) error {
	for len(settings) > 0 {
		first, n := settings[0], 1
		for n < len(settings) && settings[n].family == first.family && settings[n].device == first.device {
			n++
		}
		if err := c.setOne(first.family, first.device, settings[:n]); err != nil {
			return err
		}
		settings = settings[n:]
	}
	return nil
}

// setOne writes settings of one device in one family.
func (c confs) setOne(family, device string, settings []sysctl) error {
	in, err := c.open(family, device)
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

// open opens a device's directory. The caller closes it.
func (c confs) open(family, device string) (*os.Root, error) {
	if all, is := c[family]; is {
		return all.OpenRoot(device)
	}
	return os.OpenRoot(filepath.Join(confDir(family), device))
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
