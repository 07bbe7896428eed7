// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// benchProgram is the benchmark's binary. It holds load generators and worlds of
// namespaces, which a host that only runs containers needn't have.
const benchProgram = "fairway-bench"

// errNoBench is what bench says where the benchmark isn't installed.
var errNoBench = errors.New("the benchmark is a program of its own, " + benchProgram + ", which is neither beside this one nor in PATH: " +
	"make install-bench installs it")

// newBench is a door: all that stands after bench, --help too, is the benchmark's.
func newBench(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench [OPTIONS] [WORKLOAD...]",
		Short: "Measure the datapath beside others (root)",
		Long: "Measure the datapath beside other ways to carry the same traffic: starts " + benchProgram + ",\n" +
			"whose options \"fairway bench --help\" shows.",
		DisableFlagParsing: true,
		ValidArgsFunction:  completeBench,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if slices.ContainsFunc(args, isSocketFlag) {
			return usagef(cmd, "--socket says whom to ask; the benchmark asks daemons that it starts itself")
		}
		path, err := findBench()
		if err != nil {
			return err
		}
		return fmt.Errorf("start %s: %w", path, syscall.Exec(path, append([]string{benchProgram}, args...), os.Environ()))
	}
	return cmd
}

// isSocketFlag finds the flag of all commands, which stands among the benchmark's words
// wherever it was given.
func isSocketFlag(arg string) bool {
	name, _, _ := strings.Cut(arg, "=")
	return name == "--socket"
}

// findBench looks beside this program, then in PATH.
func findBench() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	path, err := exec.LookPath(filepath.Join(filepath.Dir(exe), benchProgram))
	if err != nil {
		path, err = exec.LookPath(benchProgram)
	}
	if errors.Is(err, exec.ErrNotFound) {
		return "", errNoBench
	}
	return path, err
}

// completeBench asks the benchmark, in the way in which the shell asks this program:
// one word a line, then a colon and the directive.
func completeBench(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
	path, err := findBench()
	if err != nil {
		return nil, noFiles
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	ask := append([]string{cobra.ShellCompRequestCmd}, args...)
	out, err := exec.CommandContext(ctx, path, append(ask, word)...).Output()
	if err != nil {
		return nil, noFiles
	}
	words, last, ok := bytes.Cut(out, []byte("\n:"))
	if !ok {
		words, last = nil, bytes.TrimPrefix(out, []byte(":"))
	}
	directive, err := strconv.Atoi(strings.TrimSpace(string(last)))
	if err != nil {
		return nil, noFiles
	}
	return strings.FieldsFunc(string(words), func(r rune) bool { return r == '\n' }), cobra.ShellCompDirective(directive)
}
