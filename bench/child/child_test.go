// SPDX-License-Identifier: Apache-2.0

package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/test/root"
)

// echo answers each number with itself, 13 never, and 0 by leaving.
var echo = Role{Name: "child-test-echo", Run: func(in io.Reader, out io.Writer) error {
	return Requests(in, func(n int) {
		switch n {
		case 0:
			fmt.Fprintln(os.Stderr, "no zero")
			os.Exit(3)
		case 13:
		default:
			_ = json.NewEncoder(out).Encode(n)
		}
	})
}}

func TestMain(m *testing.M) {
	Init(os.Args, echo)
	os.Exit(root.Main(m))
}

func start(t *testing.T) *Process {
	t.Helper()
	p, err := Start(Place{CPU: 0}, echo.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func ask(t *testing.T, p *Process, n int, within time.Duration) (got int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := p.Send(n); err != nil {
		return 0, err
	}
	return got, p.Receive(ctx, &got)
}

func TestAnswers(t *testing.T) {
	p := start(t)
	for n := 1; n < 5; n++ {
		var got int
		if err := errors.Join(p.Send(n), p.Receive(t.Context(), &got)); err != nil || got != n {
			t.Fatalf("%d: answered %d, %v", n, got, err)
		}
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if p.Send(1) == nil {
		t.Error("sent to a process that has ended")
	}
}

func TestErrorHasWhatTheChildSaid(t *testing.T) {
	if _, err := ask(t, start(t), 0, time.Minute); err == nil || !strings.Contains(err.Error(), "no zero") {
		t.Errorf("got %v", err)
	}
}

func TestSilenceEnds(t *testing.T) {
	if _, err := ask(t, start(t), 13, 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// The caller's thread is what it was before, the child's is pinned.
func TestPlace(t *testing.T) {
	var before, after, of unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	p := start(t)
	if err := errors.Join(unix.SchedGetaffinity(0, &after), unix.SchedGetaffinity(p.PID(), &of)); err != nil {
		t.Fatal(err)
	}
	if before != after {
		t.Errorf("CPUs of the caller were %v, are %v", before, after)
	}
	if of.Count() != 1 || !of.IsSet(0) {
		t.Errorf("CPUs of the child are %v", of)
	}
}

func TestNoSuchPlace(t *testing.T) {
	if _, err := Start(Place{Netns: "/nowhere", CPU: 0}, echo.Name); err == nil {
		t.Error("started in a namespace that isn't there")
	}
}
