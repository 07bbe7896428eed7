// SPDX-License-Identifier: Apache-2.0

package resolvconf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"
)

const (
	hostPath = "/etc/resolv.conf"
	// systemdPath lists the servers that systemd-resolved asks, systemdStub is
	// the address it listens on itself (systemd-resolved.service(8)).
	systemdPath = "/run/systemd/resolve/resolv.conf"
	systemdStub = "127.0.0.53"
)

// File is a parsed resolv.conf(5).
type File struct {
	// Path the file was read from; it appears in a comment of what is built.
	Path        string
	Nameservers []netip.Addr
	// Search is the last search or domain directive's list.
	Search []string
	// Options of all options directives, in order.
	Options []string
	// Other holds the lines with directives unknown here, sortlist for example.
	Other []string
	// Invalid holds nameserver values that aren't addresses.
	Invalid []string
}

// Parse reads a resolv.conf. It errs only where r does, or for a line over 64 KiB:
// what a resolver wouldn't understand is skipped or kept in Other and Invalid.
func Parse(r io.Reader) (File, error) {
	var f File
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f.line(lines.Text())
	}
	return f, lines.Err()
}

func (f *File) line(line string) {
	words := strings.Fields(line)
	if len(words) == 0 || strings.ContainsAny(words[0][:1], "#;") {
		return
	}
	args := words[1:]
	switch words[0] {
	case "nameserver":
		f.nameserver(args)
	case "search", "domain":
		if len(args) > 0 {
			f.Search = args
		}
	case "options":
		f.Options = append(f.Options, args...)
	default:
		f.Other = append(f.Other, line)
	}
}

func (f *File) nameserver(args []string) {
	if len(args) == 0 {
		return
	}
	addr, err := netip.ParseAddr(args[0])
	if err != nil {
		f.Invalid = append(f.Invalid, args[0])
		return
	}
	f.Nameservers = append(f.Nameservers, addr)
}

// Load parses the file at path. A missing file is an empty one, as it is for
// every resolver library.
func Load(path string) (File, error) {
	fd, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{Path: path}, nil
	}
	if err != nil {
		return File{}, err
	}
	defer fd.Close()
	f, err := Parse(fd)
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w", path, err)
	}
	f.Path = path
	return f, nil
}

// LoadHost parses the host's resolv.conf. Where /etc/resolv.conf names only the
// stub of systemd-resolved, it takes the list of the servers behind it, which
// sandboxes can reach.
func LoadHost() (File, error) { return loadHost(hostPath, systemdPath) }

func loadHost(path, systemd string) (File, error) {
	f, err := Load(path)
	if err != nil {
		return File{}, err
	}
	if !slices.Equal(f.Nameservers, []netip.Addr{netip.MustParseAddr(systemdStub)}) {
		return f, nil
	}
	behind, err := Load(systemd)
	if err != nil || len(behind.Nameservers) == 0 {
		return f, err
	}
	return behind, nil
}

// Option returns the value of the last option called name, which is written
// name or name:value, and whether there is one.
func (f File) Option(name string) (string, bool) { return option(f.Options, name) }

func option(options []string, name string) (string, bool) {
	for _, o := range slices.Backward(options) {
		if k, v, _ := strings.Cut(o, ":"); k == name {
			return v, true
		}
	}
	return "", false
}
