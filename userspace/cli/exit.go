// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/request"
)

// Exit codes beside a command's own.
const (
	exitError = 1
	exitUsage = 2
	// exitSettings is EX_CONFIG of sysexits.h, as systemd calls it too
	// (systemd.exec(5)): the daemon's settings are wrong, and another start won't help.
	exitSettings = 78
	exitDaemon   = 125
)

const exitCodes = `Exit codes:
  0    done
  1    it failed: what was named doesn't exist or is in use, or the daemon can't be reached
  2    the command line can't work: unknown command, flag or filter, bad or missing value, on this side or the daemon's
  125, 126, 127
       run and exec: the daemon refused or failed, the command can't be executed, it doesn't exist; else the command's own code
doctor, docker setup --check and daemon (78) say in their help what theirs mean.`

// usageError is a command line that can't be understood.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...) + `; see "` + cmd.CommandPath() + ` --help"`}
}

// exitCode ends the program with a code and, where err is nil, without a word.
type exitCode struct {
	code int
	err  error
}

func (e *exitCode) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitCode) Unwrap() error { return e.err }

// wrongSettings gives what is wrong with the daemon's settings a code of its own,
// wherever it was found: an init system needn't try again.
func wrongSettings(err error) error {
	if err == nil {
		return nil
	}
	return &exitCode{exitSettings, err}
}

// flagError explains what is wrong with a flag: its value, or that there is none of
// the name, or no value.
func flagError(cmd *cobra.Command, err error) error {
	if bad := (*pflag.InvalidValueError)(nil); errors.As(err, &bad) {
		if number := (*strconv.NumError)(nil); errors.As(err, &number) {
			about, _, _ := strings.Cut(err.Error(), " flag: ")
			return &usageError{about + " flag: want a whole number"}
		}
		return &usageError{err.Error()}
	}
	if missing := (*pflag.NotExistError)(nil); errors.As(err, &missing) {
		return unknownFlag(cmd, missing)
	}
	return usagef(cmd, "%s", err)
}

// processError gives the errors of run and exec Docker's codes: a script tells what the daemon
// refused from what the command said.
func processError(err error) error {
	var answer *api.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &answer) && answer.ExitCode != 0:
		return &exitCode{answer.ExitCode, err}
	case errors.As(err, &answer), errors.Is(err, api.ErrUnreachable), errors.Is(err, api.ErrLost):
		return &exitCode{exitDaemon, err}
	}
	return err
}

// report prints err, one line for each error that was joined, and returns the
// exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	for _, line := range strings.Split(err.Error(), "\n") {
		if line != "" {
			fmt.Fprintln(w, "fairway: "+line)
		}
	}
	var code *exitCode
	var usage *usageError
	switch {
	case errors.As(err, &code):
		return code.code
	case errors.As(err, &usage), errors.Is(err, request.ErrInvalid):
		return exitUsage
	}
	return exitError
}
