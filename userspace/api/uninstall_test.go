// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/request"
)

// slow is a backend whose uninstall goes on only when what it said was heard.
type slow struct {
	*apitest.Fake
	heard chan string
	err   error
}

func (s *slow) Uninstall(_ context.Context, _ bool, removed func(string)) error {
	for _, line := range s.Removed {
		removed(line)
		if got := <-s.heard; got != line {
			return errors.New("heard " + got)
		}
	}
	return s.err
}

func serveSlow(t *testing.T, b *slow, uninstalled func()) *api.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	server := api.NewServer(b, slog.New(slog.DiscardHandler), uninstalled)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return api.NewClient(path)
}

// The client hears of each thing when it is gone, not of all in the end.
func TestUninstallTellsAsItGoes(t *testing.T) {
	b := &slow{Fake: apitest.NewFake(t), heard: make(chan string)}
	b.Removed = []string{"sandbox a", "sandbox b", "network n"}
	told := make(chan struct{})
	var got []string
	err := serveSlow(t, b, func() { close(told) }).Uninstall(t.Context(), false, func(line string) {
		got = append(got, line)
		b.heard <- line
	})
	if err != nil || !cmp.Equal(got, b.Removed) {
		t.Errorf("heard %q, %v", got, err)
	}
	<-told
}

// An uninstall that fails says how far it got and why, and the daemon goes on.
func TestUninstallThatFails(t *testing.T) {
	for name, removed := range map[string][]string{"at once": nil, "on the way": {"sandbox a"}} {
		t.Run(name, func(t *testing.T) {
			b := &slow{Fake: apitest.NewFake(t), heard: make(chan string, 1), err: errors.New("device busy")}
			b.Removed = removed
			client := serveSlow(t, b, func() { t.Error("the daemon was told to end") })
			var got []string
			err := client.Uninstall(t.Context(), false, func(line string) {
				got = append(got, line)
				b.heard <- line
			})
			if err == nil || err.Error() != "device busy" || !cmp.Equal(got, removed) {
				t.Errorf("heard %q, %v", got, err)
			}
			if _, err := client.Version(t.Context()); err != nil {
				t.Errorf("the daemon doesn't answer any more: %v", err)
			}
		})
	}
}

func TestUnavailableIsKnownToTheClient(t *testing.T) {
	err := error(&api.Error{Status: 503})
	if !errors.Is(err, request.ErrUnavailable) || errors.Is(err, request.ErrConflict) {
		t.Error("status 503 isn't ErrUnavailable alone")
	}
}
