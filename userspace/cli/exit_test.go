// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/cli"
	"github.com/fairway-project/fairway/userspace/request"
)

func TestExitCodes(t *testing.T) {
	fake := fixture(t)
	socket := apitest.Serve(t, fake, slog.New(slog.DiscardHandler))
	devNull, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer devNull.Close()
	for _, tc := range []struct {
		args string
		want int
	}{
		{"", 0},
		{"--help", 0},
		{"network ls", 0},
		{"network inspect nope", 1},
		{"network inspect .", 2},
		{"network create --subnet nope x", 2},
		{"network create --subnet 10.9.0.0/24 --gateway 10.8.0.1 x", 2},
		{"network create -o x=y --driver pigeon bad!name", 2},
		{"network rm bridge", 2},
		{"network rm nope", 1},
		{"network ls -f driver=brigde", 2},
		{"network ls -f scope=swarm", 2},
		{"network ls -f name=[", 2},
		{"network ls -f name=nope", 0},
		{"network prune -f --filter until=soon", 2},
		{"network prune -f --filter owner=x", 2},
		{"ps -f status=dead", 2},
		{"ps -f owner=podman", 2},
		{"ps -f network=nope", 2},
		{"ps -f network=gone", 0},
		{"ps -f network=host", 0},
		{"ps --format {{.Nope}}", 2},
		{"ps --format {{", 2},
		{"ps -o yaml", 2},
		{"flow ls -f kind=foo", 2},
		{"flow ls -f sandbox=nope", 2},
		{"stop -t soon web", 2},
		{"stop nope", 1},
		{"port web http", 2},
		{"port web 81", 1},
		{"docker setup --check --undo", 2},
		{"uninstall -f --datapath nope", 2},
		{"network create x --driver", 2},
		{"network create", 2},
		{"bogus", 2},
		{"bogus --all", 2},
		{"--bogus", 2},
		{"--bogus ps", 2},
		{"ps --bogus", 2},
		{"run -- true", 0},
		{"run --name a -- sh -c exit\t7", 7},
		{"run --name b -- sh -c kill\t-9\t$$", 137},
		{"run --name c -- /does/not/exist", 127},
		{"run -d --name c -- /does/not/exist", 127},
		{"run --name d -- /dev/null", 126},
		{"run --network nope=1 -- true", 2},
		{"run --ip 10.0.0.1 --network name=front,ip=10.0.0.2 -- true", 2},
		{"run --name bad! -- true", 2},
		{"run -p 99999:80 -- true", 2},
		{"run --name web -- true", 125},
		{"run -d --name web -- true", 125},
		{"run", 2},
		{"exec web -- sh -c exit\t3", 3},
		{"exec web -- /does/not/exist", 127},
		{"exec nope -- true", 125},
		{"exec web", 2},
		{"--socket /none run -- true", 125},
		{"--socket /none exec web -- true", 125},
		{"--socket /none ps", 1},
		{"doctor", 1},
		{"--socket /none doctor", 2},
		{"status --brief", 1},
		{"status", 0},
	} {
		var stdout, stderr bytes.Buffer
		env := cli.Env{
			Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
			Files: &request.Stdio{Stdin: devNull, Stdout: devNull, Stderr: devNull},
			Now:   time.Now, LookupEnv: environ(map[string]string{"FAIRWAY_SOCKET": socket}),
		}
		if got := cli.Main(env, programs(), splitWords(tc.args)); got != tc.want {
			t.Errorf("fairway %s: exit code %d; want %d\n%s", tc.args, got, tc.want, stderr.String())
		}
		if lines := strings.Count(stderr.String(), "\n"); lines > 1 {
			t.Errorf("fairway %s: %d lines of errors:\n%s", tc.args, lines, stderr.String())
		}
	}
}

// splitWords makes words; a tab is a space inside of one.
func splitWords(s string) []string {
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' })
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], "\t", " ")
	}
	return words
}

// Wrong settings of the daemon have a code of their own, whatever finds them, and the
// unit knows it.
func TestWrongSettingsAreToldApart(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/systemd/fairway.service")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(unit), "\nRestartPreventExitStatus=78\n") {
		t.Error("the unit starts a daemon again whose settings are wrong")
	}
	for _, args := range []string{
		"daemon --bogus", "daemon --xdp", "daemon --xdp bogus", "daemon --masquerade-ports x", "daemon --config /none", "daemon --metrics 9090",
		"daemon x", "daemon --docker unix:///x", "--socket /x daemon", "daemon --datapath nft", "daemon --uplink a/b",
	} {
		var stdout, stderr bytes.Buffer
		env := cli.Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Now: time.Now, LookupEnv: environ(nil)}
		if got := cli.Main(env, programs(), splitWords(args)); got != 78 || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("fairway %s: exit code %d; want 78 and one line\n%s", args, got, stderr.String())
		}
	}
}
