// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"context"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/cli"
	"github.com/fairway-project/fairway/userspace/daemon"
	"github.com/fairway-project/fairway/userspace/request"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fairway": func() {
		env := cli.OSEnv()
		env.Now = func() time.Time { return apitest.Epoch.Add(3 * time.Hour) }
		os.Exit(cli.Main(env, programs(), os.Args[1:]))
	}})
}

// programs print what they were given.
func programs() cli.Programs {
	return cli.Programs{
		Daemon: func(_ context.Context, c daemon.Config, _ func() (daemon.Config, error)) error {
			_, err := os.Stdout.WriteString(configText(c) + "\n")
			return err
		},
		Doctor: func(_ context.Context, c daemon.Config) ([]request.Check, error) {
			return []request.Check{{Name: "bpffs", Result: request.Fail, Fact: c.BPFFS + " is not on a bpffs", Fix: "mount -t bpf bpf /sys/fs/bpf"}}, nil
		},
		Uninstall: func(_ context.Context, c daemon.Config, purge bool, removed func(string)) error {
			removed("links in " + c.BPFFS)
			if purge {
				removed("state in " + c.Root)
			}
			return nil
		},
	}
}

func configText(c daemon.Config) string {
	return strings.Join([]string{string(c.Datapath), c.Root, c.RunDir, c.BPFFS, strings.Join(c.Uplinks, "+"), c.Metrics}, " ")
}

// TestScripts runs each script in testdata against a daemon's API of its own
// with the content of fixture.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			fake := fixture(t)
			if filepath.Base(file) == "docker.txtar" {
				fake.CarriedIs = carried()
				fake.StatusIs.Carried = fake.CarriedIs.Counts()
			}
			socket := apitest.Serve(t, fake, slog.New(slog.DiscardHandler))
			testscript.Run(t, testscript.Params{
				Files:         []string{file},
				UpdateScripts: *update,
				Setup: func(env *testscript.Env) error {
					// A name that is always the same, for what is printed with it.
					env.Setenv("FAIRWAY_SOCKET", "fairway.sock")
					return os.Symlink(socket, filepath.Join(env.WorkDir, "fairway.sock"))
				},
			})
		})
	}
}
