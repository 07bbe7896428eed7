// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
)

func mustOpen(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// sample is a state with every kind of record.
func sample() State {
	code := 3
	return State{
		Networks: []model.Network{{
			ID: "n1", Name: "web", Driver: model.DriverBridge,
			Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
			IPv4: &model.Subnet{
				Prefix:  netip.MustParsePrefix("172.18.0.0/16"),
				Gateway: netip.MustParseAddr("172.18.0.1"),
				Aux:     map[string]netip.Addr{"router": netip.MustParseAddr("172.18.0.9")},
			},
			Labels: map[string]string{"a": "b"},
			Bridge: model.Bridge{Name: "br-1", ICC: true, MTU: 1500, IfacePrefix: "eth"},
		}},
		Endpoints: []model.Endpoint{{
			ID: "e1", NetworkID: "n1", SandboxID: "s1", IPv4: netip.MustParsePrefix("172.18.0.2/16"),
			MAC: model.MAC{2, 0x42, 172, 18, 0, 2}, HostIf: "vethe1", IfName: "eth0",
		}},
		Sandboxes: []model.Sandbox{{
			ID: "s1", Name: "nginx", Hostname: "nginx", Mode: model.ModeNetworks, Netns: "/run/netns/x",
			Published: []model.PublishedPort{{Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: netip.IPv4Unspecified(), HostPort: 8080}},
			State:     model.State{Status: model.StatusExited, ExitCode: &code},
		}},
		Services: []model.Service{{
			ID: "v1", Name: "shop", Networks: []model.ServiceNetwork{{NetworkID: "n1", IPv4: netip.MustParseAddr("172.18.0.8"), Requested4: true}},
			EndpointMode: model.EndpointModeVIP, Ports: []model.ServicePort{{Port: model.Port{Num: 80, Proto: model.TCP}, Target: 8080}},
			Selector: map[string]string{"app": "web"}, Scheduler: model.SchedulerMaglev, Drain: time.Second,
			Health:  model.Health{Kind: model.HealthHTTP, Path: "/", Interval: time.Second},
			Sources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		}},
	}
}

func put(tx *Tx, st State) error {
	var errs []error
	for i := range st.Networks {
		errs = append(errs, tx.PutNetwork(&st.Networks[i]))
	}
	for i := range st.Endpoints {
		errs = append(errs, tx.PutEndpoint(&st.Endpoints[i]))
	}
	for i := range st.Sandboxes {
		errs = append(errs, tx.PutSandbox(&st.Sandboxes[i]))
	}
	for i := range st.Services {
		errs = append(errs, tx.PutService(&st.Services[i]))
	}
	return errors.Join(errs...)
}

func checkState(t *testing.T, s *Store, want State) {
	t.Helper()
	got, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestStateSurvivesReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := mustOpen(t, path)
	checkState(t, s, State{})
	if err := s.Update(func(tx *Tx) error { return put(tx, sample()) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, path)
	checkState(t, s, sample())
	err := s.Update(func(tx *Tx) error {
		return errors.Join(tx.DeleteEndpoint("e1"), tx.DeleteSandbox("s1"), tx.DeleteSandbox("s1"), tx.DeleteService("v1"), tx.DeleteService("v1"), tx.DeleteNetwork("gone"))
	})
	if err != nil {
		t.Fatal(err)
	}
	checkState(t, s, State{Networks: sample().Networks})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	s := mustOpen(t, filepath.Join(t.TempDir(), "state.db"))
	stop := errors.New("changed my mind")
	err := s.Update(func(tx *Tx) error {
		if err := put(tx, sample()); err != nil {
			return err
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Errorf("Update returned %v, want the function's own error", err)
	}
	checkState(t, s, State{})
	if err := s.Update(func(tx *Tx) error { return tx.PutNetwork(&model.Network{}) }); err == nil {
		t.Error("a network without ID was stored")
	}
}

func TestSecondOpenIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	mustOpen(t, path)
	_, err := Open(path)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path+" is in use by another daemon") {
		t.Errorf("got %v", err)
	}
}

// setVersion rewrites the version of a closed state file.
func setVersion(t *testing.T, path, version string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyVersion, []byte(version)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// checkRefused opens path, wants that error and an untouched file.
func checkRefused(t *testing.T, path string, want error) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err == nil {
		s.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	if err != nil && (strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), path)) {
		t.Errorf("not one line that names the file: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the refused file was changed")
	}
}

func TestVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	mustOpen(t, path).Close()
	setVersion(t, path, strconv.Itoa(Version+1))
	checkRefused(t, path, ErrNewerVersion)
	setVersion(t, path, "zero")
	checkRefused(t, path, ErrCorrupt)
	setVersion(t, path, strconv.Itoa(Version))
	mustOpen(t, path)
}

func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	for name, want := range map[string]struct {
		content string
		err     error
	}{
		"empty": {"", ErrEmpty},
		"short": {"x", ErrCorrupt},
		"text":  {strings.Repeat("networks: none\n", 5000), ErrForeign},
		"zeros": {strings.Repeat("\x00", 65536), ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, []byte(want.content), 0o600); err != nil {
				t.Fatal(err)
			}
			checkRefused(t, path, want.err)
		})
	}
	if _, err := Open(dir); err == nil {
		t.Error("a directory was opened")
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(fifo); !errors.Is(err, ErrForeign) {
		t.Errorf("named pipe: got %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none", "state.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: got %v", err)
	}
}

func TestOtherProgramsBolt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	checkRefused(t, path, ErrForeign)
}
