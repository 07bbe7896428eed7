// SPDX-License-Identifier: Apache-2.0

package api_test

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/request"
)

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

func itoa(n int) string { return strconv.Itoa(n) }

func second[T any](_ T, err error) error { return err }

// pipes are the standard files of a process with this test at the other ends.
type pipes struct {
	request.Stdio
	in       *os.File
	out, err *os.File
}

func newPipes(t *testing.T) *pipes {
	t.Helper()
	p := &pipes{}
	var errs [3]error
	p.Stdin, p.in, errs[0] = os.Pipe()
	p.out, p.Stdout, errs[1] = os.Pipe()
	p.err, p.Stderr, errs[2] = os.Pipe()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, f := range []*os.File{p.in, p.out, p.err} {
			f.Close()
		}
		p.Close()
	})
	return p
}

func attachClient(t *testing.T) (*api.Client, *apitest.Fake) {
	fake := apitest.NewFake(t)
	client := api.NewClient(apitest.Serve(t, fake, slog.New(slog.DiscardHandler)))
	t.Cleanup(client.Close)
	return client, fake
}

func readAll(t *testing.T, f *os.File) string {
	t.Helper()
	out, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestAttachedRunHasTheClientsFiles(t *testing.T) {
	client, _ := attachClient(t)
	p := newPipes(t)
	run, err := client.RunAttached(t.Context(), request.Run{
		SandboxConfig: request.SandboxConfig{Name: "web"},
		Command:       []string{"sh", "-c", "cat; echo oops >&2; exit 7"},
	}, &p.Stdio)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if run.Name != "web" || run.Pid == 0 {
		t.Errorf("started %+v", run.Started)
	}
	p.Close()
	if _, err := io.WriteString(p.in, "hello\n"); err != nil {
		t.Fatal(err)
	}
	p.in.Close()
	if got := readAll(t, p.out); got != "hello\n" {
		t.Errorf("output %q", got)
	}
	if got := readAll(t, p.err); got != "oops\n" {
		t.Errorf("error output %q", got)
	}
	if code, err := run.Wait(); code != 7 || err != nil {
		t.Errorf("got %d, %v; want 7", code, err)
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	// What is ignored here, as SIGHUP is under nohup, a shell can't trap. Fairway's own
	// processes are started by sandbox.Init, which sees to that.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	client, _ := attachClient(t)
	p := newPipes(t)
	run, err := client.RunAttached(t.Context(), request.Run{Command: []string{
		"sh", "-c", `trap 'echo hup' HUP; trap 'exit 3' TERM; echo ready; while :; do read x; done`,
	}}, &p.Stdio)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	p.Stdout.Close()
	lines := bufio.NewScanner(p.out)
	for _, step := range []struct {
		line string
		then syscall.Signal
	}{{"ready", syscall.SIGHUP}, {"hup", syscall.SIGTERM}} {
		if !lines.Scan() || lines.Text() != step.line {
			t.Fatalf("got %q; want %q", lines.Text(), step.line)
		}
		if err := run.Signal(step.then); err != nil {
			t.Fatal(err)
		}
		// The shell handles a signal once its read returns.
		if _, err := io.WriteString(p.in, "\n"); err != nil {
			t.Fatal(err)
		}
	}
	if code, err := run.Wait(); code != 3 || err != nil {
		t.Errorf("got %d, %v; want 3", code, err)
	}
}

func TestAttachedErrors(t *testing.T) {
	client, fake := attachClient(t)
	fake.AddSandbox(request.SandboxView{})
	p := newPipes(t)
	for _, tc := range []struct {
		name, command string
		code          int
		kind          error
	}{
		{"web", "/does/not/exist", 127, request.ErrInvalid},
		{"web", "/dev/null", 126, request.ErrInvalid},
		{"", "true", 0, request.ErrConflict},
	} {
		_, err := client.RunAttached(t.Context(), request.Run{
			SandboxConfig: request.SandboxConfig{Name: tc.name}, Command: []string{tc.command},
		}, &p.Stdio)
		var answer *api.Error
		if !errors.As(err, &answer) || answer.ExitCode != tc.code || !errors.Is(err, tc.kind) {
			t.Errorf("%s: got %#v; want exit code %d and %v", tc.command, err, tc.code, tc.kind)
		}
	}
	_, err := client.ExecAttached(t.Context(), "nope", request.Exec{Command: []string{"true"}}, &p.Stdio)
	if !errors.Is(err, request.ErrNotFound) {
		t.Errorf("exec in nothing: %v", err)
	}
}

func TestClientThatLeavesLeavesTheProcess(t *testing.T) {
	client, _ := attachClient(t)
	p := newPipes(t)
	run, err := client.RunAttached(t.Context(), request.Run{
		SandboxConfig: request.SandboxConfig{Name: "web"}, Command: []string{"cat"},
	}, &p.Stdio)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	run.Close()
	if _, err := io.WriteString(p.in, "still there\n"); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(p.out).ReadString('\n')
	if err != nil || line != "still there\n" {
		t.Errorf("got %q, %v", line, err)
	}
	p.in.Close()
	if code, err := client.Wait(t.Context(), "web"); code != 0 || err != nil {
		t.Errorf("got %d, %v", code, err)
	}
}

func TestServerThatDiesIsNoticed(t *testing.T) {
	path := t.TempDir() + "/s"
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		// The request, then the files: only a client that sent both waits.
		_, _ = conn.Read(make([]byte, 4096))
		answer := "HTTP/1.1 101 Switching Protocols\r\n\r\n" + `{"started":{"id":"1","name":"a","pid":1}}` + "\n"
		_, _ = io.WriteString(conn, answer)
		_, _ = conn.Read(make([]byte, 1))
	}()
	p := newPipes(t)
	run, err := api.NewClient(path).RunAttached(t.Context(), request.Run{}, &p.Stdio)
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	if _, err := run.Wait(); !errors.Is(err, api.ErrLost) {
		t.Errorf("got %v; want ErrLost", err)
	}
}

func TestAttachWithoutFilesIsRefused(t *testing.T) {
	fake := apitest.NewFake(t)
	socket := apitest.Serve(t, fake, slog.New(slog.DiscardHandler))
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"command":["true"]}`
	if _, err := io.WriteString(conn, "POST /v1/sandboxes/run?attach=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"+
		"Upgrade: fairway-stdio\r\nContent-Length: "+itoa(len(body))+"\r\n\r\n"+body); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		if line, err = reader.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(reader)
	if err != nil || !strings.Contains(string(rest), "got 0 descriptors, want 3") {
		t.Errorf("got %q, %v", rest, err)
	}
}

func TestExecCapturesOutput(t *testing.T) {
	client, fake := attachClient(t)
	fake.AddSandbox(request.SandboxView{})
	fake.AddNetwork(fakeNetwork("front"))
	if _, err := client.Run(t.Context(), request.Run{SandboxConfig: request.SandboxConfig{Name: "web"}, Command: []string{"sleep", "600"}}); err != nil {
		t.Fatal(err)
	}
	// The sleep in the background holds the pipes open: exec doesn't wait for it.
	got, err := client.Exec(t.Context(), "web", request.Exec{
		Command: []string{"sh", "-c", "sleep 5 & echo $X; echo bad >&2; exit 4"}, Env: []string{"X=y"},
	})
	if err != nil || got != (api.Executed{Code: 4, Stdout: "y\n", Stderr: "bad\n"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	big, err := client.Exec(t.Context(), "web", request.Exec{Command: []string{"head", "-c", "3000000", "/dev/zero"}})
	if err != nil || len(big.Stdout) != 1<<20 {
		t.Errorf("got %d bytes, %v; want the first MiB", len(big.Stdout), err)
	}
}

// A terminal needs one, at a client that is there.
func TestTerminalIsRefused(t *testing.T) {
	client, _ := attachClient(t)
	req := request.Run{SandboxConfig: request.SandboxConfig{Name: "web"}, Command: []string{"true"}, TTY: true}
	if _, err := client.RunAttached(t.Context(), req, &newPipes(t).Stdio); !errors.Is(err, request.ErrInvalid) || !strings.Contains(err.Error(), "not a terminal") {
		t.Errorf("attached with pipes: %v", err)
	}
	if _, err := client.Run(t.Context(), req); !errors.Is(err, request.ErrInvalid) || !strings.Contains(err.Error(), "attached") {
		t.Errorf("in the background: %v", err)
	}
	req.TTY = false
	if _, err := client.Run(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Exec(t.Context(), "web", request.Exec{Command: []string{"true"}, TTY: true}); !errors.Is(err, request.ErrInvalid) {
		t.Errorf("exec that is captured: %v", err)
	}
}
