// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/daemon"
	"github.com/fairway-project/fairway/userspace/request"
)

// Env is everything outside that a command touches, so that tests run the
// commands in their own process.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Files go to processes in the foreground.
	Files *request.Stdio
	// LookupEnv is os.LookupEnv.
	LookupEnv func(string) (value string, set bool)
	Now       func() time.Time
}

// Getenv is os.Getenv.
func (e Env) Getenv(name string) string {
	value, _ := e.LookupEnv(name)
	return value
}

// OSEnv is the process's own environment.
func OSEnv() Env {
	return Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Files:     &request.Stdio{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr},
		LookupEnv: os.LookupEnv,
		Now:       time.Now,
	}
}

// Programs are the parts of the program that work without a daemon's answer.
type Programs struct {
	// Daemon runs until ctx ends. The function reads the settings again, of which the
	// environment and the flags can't have changed.
	Daemon func(ctx context.Context, c daemon.Config, again func() (daemon.Config, error)) error
	// Doctor checks this host; nil where only the daemon can.
	Doctor func(ctx context.Context, c daemon.Config) ([]request.Check, error)
	// Uninstall removes every trace of a daemon that isn't running, with purge
	// its state on disk too, and tells removed one line per thing removed.
	Uninstall func(ctx context.Context, c daemon.Config, purge bool, removed func(string)) error
}

// app is what every command has at hand.
type app struct {
	env      Env
	programs Programs
	args     []string
	socket   string
	// clients are closed when the command is done: a process may run many.
	clients []*api.Client
}

// client returns a client of the daemon that --socket, FAIRWAY_SOCKET or the
// default name. close closes it.
func (a *app) client() *api.Client { return a.clientOf(a.socketPath()) }

func (a *app) clientOf(socket string) *api.Client {
	c := api.NewClient(socket)
	a.clients = append(a.clients, c)
	return c
}

func (a *app) close() {
	for _, c := range a.clients {
		c.Close()
	}
}

func (a *app) socketPath() string {
	return cmp.Or(a.givenSocket(), api.DefaultSocket)
}

// socketOf is where the daemon of the directories that a command's flags name
// listens, unless --socket or FAIRWAY_SOCKET name another and --run-dir doesn't.
func (a *app) socketOf(cmd *cobra.Command, config daemon.Config) string {
	if given := a.givenSocket(); given != "" && !cmd.Flags().Changed("run-dir") {
		return given
	}
	return filepath.Join(config.RunDir, api.SocketName)
}

// givenSocket is the socket that --socket or FAIRWAY_SOCKET names, if any.
func (a *app) givenSocket() string {
	return cmp.Or(a.socket, a.env.Getenv("FAIRWAY_SOCKET"))
}
