// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/cli"
	"github.com/fairway-project/fairway/userspace/request"
)

// patience bounds a wait for what certainly comes.
const patience = 60 * time.Second

// screen is a user's terminal, and what it has shown.
type screen struct {
	t             *testing.T
	master, slave *os.File
	mu            sync.Mutex
	shown         bytes.Buffer
	more          chan struct{}
}

func newScreen(t *testing.T) *screen {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, master: master, slave: slave, more: make(chan struct{}, 1)}
	t.Cleanup(func() { slave.Close(); master.Close() })
	go io.Copy(s, master)
	return s
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.shown.Write(p)
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// shows waits for text, and for no text twice at the same place.
func (s *screen) shows(text string) {
	s.t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(s.text(), text) {
		select {
		case <-s.more:
		case <-deadline:
			s.t.Fatalf("the terminal doesn't show %q but %q", text, s.text())
		}
	}
}

func (s *screen) types(text string) {
	s.t.Helper()
	if _, err := s.master.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

func (s *screen) resize(rows, cols uint16) {
	s.t.Helper()
	if err := pty.Setsize(s.master, &pty.Winsize{Rows: rows, Cols: cols}); err != nil {
		s.t.Fatal(err)
	}
}

// fairway runs a command line in the terminal; the channel gets its exit code.
func (s *screen) fairway(socket string, args ...string) <-chan int {
	env := cli.Env{
		Stdin: s.slave, Stdout: s.slave, Stderr: s.slave, Now: time.Now,
		Files:     &request.Stdio{Stdin: s.slave, Stdout: s.slave, Stderr: s.slave},
		LookupEnv: environ(map[string]string{"FAIRWAY_SOCKET": socket, "TERM": "vt220"}),
	}
	code := make(chan int, 1)
	go func() { code <- cli.Main(env, programs(), args) }()
	return code
}

func (s *screen) ends(code <-chan int, want int) {
	s.t.Helper()
	select {
	case got := <-code:
		if got != want {
			s.t.Errorf("exit code %d, want %d; the terminal shows %q", got, want, s.text())
		}
	case <-time.After(patience):
		s.t.Fatalf("it doesn't end; the terminal shows %q", s.text())
	}
}

// A command with -it has a terminal of the size of the user's, which follows it, takes
// what is typed, and leaves the user's terminal as it was.
func TestTerminal(t *testing.T) {
	socket := apitest.Serve(t, fixture(t), slog.New(slog.DiscardHandler))
	s := newScreen(t)
	s.resize(40, 100)
	before, err := term.GetState(int(s.slave.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	code := s.fairway(socket, "run", "-it", "--name", "shell", "--", "sh", "-c",
		`stty size; test -t 0 && test -t 1 && test -t 2 && echo "on $TERM"; echo own >/dev/tty
		read line; echo "got $line"; trap 'stty size; exit 7' WINCH; echo ready; while :; do sleep 0.02; done`)
	for _, text := range []string{"40 100\r\n", "on vt220\r\n", "own\r\n"} {
		s.shows(text)
	}
	s.types("hello\r")
	s.shows("got hello\r\n")
	s.shows("ready\r\n")
	s.resize(50, 120)
	if err := unix.Kill(os.Getpid(), unix.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	s.shows("50 120\r\n")
	s.ends(code, 7)
	after, err := term.GetState(int(s.slave.Fd()))
	if err != nil || fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("the terminal was set as %v and is now as %v; %v", before, after, err)
	}
}

// Ctrl-C is the command's: the terminal in between makes the signal.
func TestTerminalInterrupts(t *testing.T) {
	socket := apitest.Serve(t, fixture(t), slog.New(slog.DiscardHandler))
	s := newScreen(t)
	code := s.fairway(socket, "exec", "-it", "web", "--", "sh", "-c",
		`trap 'exit 5' INT; stty -echo; echo ready; while :; do sleep 0.02; done`)
	s.shows("ready\r\n")
	s.types("\x03")
	s.ends(code, 5)
}

// Nothing that was printed is lost at the end, and -e TERM is obeyed.
func TestTerminalPrintsAll(t *testing.T) {
	socket := apitest.Serve(t, fixture(t), slog.New(slog.DiscardHandler))
	s := newScreen(t)
	code := s.fairway(socket, "run", "-t", "-e", "TERM=dumb", "--", "sh", "-c", `seq 1 50000; echo "end on $TERM"`)
	s.ends(code, 0)
	s.shows("49999\r\r\n50000\r\r\nend on dumb\r\r\n")
	if lines := strings.Count(s.text(), "\n"); lines != 50001 {
		t.Errorf("%d lines are shown", lines)
	}
}
