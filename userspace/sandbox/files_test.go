// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The host's scripts replace /etc/resolv.conf by renaming; the sandbox keeps its own.
func TestFilesSurviveReplacementOnHost(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, `read x; cat /etc/hosts /etc/resolv.conf /etc/hostname; touch /etc/fairway-was-here`)
	ownEtc(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	log, err := os.OpenFile(spec.Files.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	spec.Stdio = &[3]*os.File{r, log, log}
	p := start(t, m, spec)
	r.Close()
	renameOver(t, "/etc/hosts")
	if err := os.WriteFile(spec.Files.Hosts, []byte("changed\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	wait(t, p)
	content, err := os.ReadFile(spec.Files.Log)
	if err != nil || string(content) != "changed\nnameserver 127.0.0.11\nbox\n" {
		t.Errorf("the sandbox read %q, %v, want what is in its own files now", content, err)
	}
	entries, err := os.ReadDir("/etc")
	if err != nil || len(entries) != 2 {
		t.Errorf("the host's /etc has %v, %v, want hosts and resolv.conf alone", entries, err)
	}
}

// Without overlayfs files are mounted over the host's, and there must be some.
func TestPlainMountsWithoutOverlay(t *testing.T) {
	m := newManager(t)
	spec := newSpec(t, m, "cat /etc/hosts")
	ownEtc(t)
	spec.Files.Etc, spec.Files.Hostname = "", ""
	if _, err := m.Start(spec); err == nil || !strings.Contains(err.Error(), "mount /etc/resolv.conf: the host has no such file") {
		t.Errorf("got %v, want the missing file's name", err)
	}
	spec.Files.ResolvConf = ""
	if got, _ := output(t, m.Start, spec); got != "172.30.0.2 box\n" {
		t.Errorf("the sandbox read %q", got)
	}
	if content, err := os.ReadFile("/etc/hosts"); err != nil || string(content) != "the host's\n" {
		t.Errorf("the host reads %q, %v", content, err)
	}
}

// ownEtc gives the test's thread, and what it starts, an /etc to do with as it likes.
func ownEtc(t *testing.T) {
	t.Helper()
	// The thread stays locked and ends with the test: it no longer shares its
	// working directory with the others.
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Setns(home, unix.CLONE_NEWNS), unix.Close(home)); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", "/etc", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/etc/hosts", []byte("the host's\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// As systemd-resolved has it, and here leading nowhere.
	if err := os.Symlink("../run/no/such/file", "/etc/resolv.conf"); err != nil {
		t.Fatal(err)
	}
}

// renameOver replaces a file by an equal one.
func renameOver(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".fairway-test", content, st.Mode()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".fairway-test", path); err != nil {
		t.Fatal(err)
	}
}
