// SPDX-License-Identifier: Apache-2.0

// Package sandbox keeps the files of sandboxes and runs the processes in them.
//
// A process is a child of the daemon in the sandbox's network namespace, with a
// mount namespace of its own in which /etc/hosts, /etc/resolv.conf and
// /etc/hostname are the sandbox's, and a UTS namespace with its host name. The
// rest of the file system is the host's. A child of the daemon it is, but
// nothing ties it to the daemon's life: it has its own session and cgroup, and
// a new daemon watches it through a pidfd (Reattach).
//
// The program that runs sandboxes calls Init at the start of main: processes
// begin as a second run of the same program, which sets up the namespaces and
// then becomes the command.
//
// Be aware:
//   - /etc in a sandbox is a copy-on-write view of the host's that ends with
//     the process, because a plain mount over a file of the host disappears as
//     soon as the host renames another file over it, as resolvers' and DHCP's
//     scripts do. Without overlayfs plain mounts are used, and a file that the
//     host's /etc lacks is an error;
//   - the hosts and resolv.conf files have to keep their inode: change them
//     with WriteFile, which is not atomic for a reader;
//   - without a writable cgroup2 mount only the process group of the command
//     can be ended along with it;
//   - processes share the host's PID namespace and its users;
//   - a sandbox's log grows without limit.
package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Manager holds the sandboxes of one daemon.
type Manager struct {
	dir    string
	cgroup *cgroupDir
	log    *slog.Logger
	nofile *rlimit
}

// rlimit is a soft and a hard limit.
type rlimit struct {
	Soft uint64 `json:"soft"`
	Hard uint64 `json:"hard"`
}

// Files are the paths of a sandbox's files.
type Files struct {
	Hosts      string `json:"hosts"`
	ResolvConf string `json:"resolvConf"`
	Hostname   string `json:"hostname"`
	Log        string `json:"log"`
	// Etc is an empty directory on which a process's view of /etc is put
	// together, out of sight of all others.
	Etc string `json:"etc"`
}

// New returns the manager of the sandboxes below root, the daemon's state
// directory. runDir tells several daemons on one machine apart: their cgroups
// are named after it. A host without a writable cgroup2 mount is noted in the
// log and serves.
func New(root, runDir string, log *slog.Logger) (*Manager, error) {
	m := &Manager{dir: filepath.Join(root, "sandboxes"), log: log}
	if err := os.MkdirAll(m.dir, 0o711); err != nil {
		return nil, fmt.Errorf("directory of sandboxes: %w", err)
	}
	abs, err := filepath.Abs(runDir)
	if err != nil {
		return nil, fmt.Errorf("run directory %s: %w", runDir, err)
	}
	sum := sha256.Sum256([]byte(abs))
	m.cgroup, err = findCgroup(hex.EncodeToString(sum[:6]))
	if err != nil {
		log.Warn("processes that leave their process group can't be stopped with their sandbox", "err", err)
	}
	return m, nil
}

// LimitFiles sets the limit of open files (RLIMIT_NOFILE) that processes start with
// from now on; zero is that of this process.
func (m *Manager) LimitFiles(l unix.Rlimit) {
	m.nofile = nil
	if l != (unix.Rlimit{}) {
		m.nofile = &rlimit{Soft: l.Cur, Hard: l.Max}
	}
}

// Files returns the paths of the sandbox's files, whether they exist or not.
func (m *Manager) Files(id string) Files {
	dir := filepath.Join(m.dir, id)
	return Files{
		Hosts:      filepath.Join(dir, "hosts"),
		ResolvConf: filepath.Join(dir, "resolv.conf"),
		Hostname:   filepath.Join(dir, "hostname"),
		Log:        filepath.Join(dir, "log"),
		Etc:        filepath.Join(dir, "etc"),
	}
}

// Create makes the sandbox's directory and empty files, keeping what is there. The log is
// made by a process that writes to it.
func (m *Manager) Create(id string) (Files, error) {
	f := m.Files(id)
	for _, dir := range []string{filepath.Dir(f.Etc), f.Etc} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return f, fmt.Errorf("directory of sandbox %s: %w", id, err)
		}
	}
	for path, mode := range map[string]fs.FileMode{f.Hosts: 0o644, f.ResolvConf: 0o644, f.Hostname: 0o644} {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, mode)
		if err != nil {
			return f, fmt.Errorf("file of sandbox %s: %w", id, err)
		}
		if err := file.Close(); err != nil {
			return f, err
		}
	}
	return f, nil
}

// Remove kills every process of the sandbox that is left and removes its files.
// A sandbox that is gone is not an error.
func (m *Manager) Remove(id string) error {
	err := m.KillAll(id)
	if rmErr := os.RemoveAll(filepath.Join(m.dir, id)); rmErr != nil {
		err = errors.Join(err, fmt.Errorf("files of sandbox %s: %w", id, rmErr))
	}
	return err
}

// KillAll kills every process in the sandbox's cgroup, waits until they are gone
// and removes the cgroup. Without cgroups it does nothing.
func (m *Manager) KillAll(id string) error {
	if m.cgroup == nil {
		return nil
	}
	return m.cgroup.removeChild(id)
}

// Prune removes the files and processes of every sandbox that keep doesn't name.
func (m *Manager) Prune(keep map[string]bool) error {
	ids, err := m.known()
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if !keep[id] {
			errs = append(errs, m.Remove(id))
		}
	}
	return errors.Join(errs...)
}

// RemoveAll removes every sandbox and the directories around them.
func (m *Manager) RemoveAll() error {
	if err := m.Prune(nil); err != nil {
		return err
	}
	if m.cgroup != nil {
		if err := m.cgroup.remove(); err != nil {
			return err
		}
	}
	if err := os.Remove(m.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("directory of sandboxes: %w", err)
	}
	return nil
}

// Discard undoes New for a daemon that has made no sandbox: the directory around them
// goes unless something is in it. No process is touched.
func (m *Manager) Discard() error {
	err := os.Remove(m.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("directory of sandboxes: %w", err)
	}
	return nil
}

// Running returns the IDs of the sandboxes in which a process is, whoever started them
// with this run-dir. Without cgroups it knows of none.
func (m *Manager) Running() ([]string, error) {
	if m.cgroup == nil {
		return nil, nil
	}
	return m.cgroup.populated()
}

func (m *Manager) known() ([]string, error) {
	entries, err := os.ReadDir(m.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("directory of sandboxes: %w", err)
	}
	var ids []string
	for _, e := range entries {
		ids = append(ids, e.Name())
	}
	if m.cgroup != nil {
		more, err := m.cgroup.children()
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	return ids, nil
}
