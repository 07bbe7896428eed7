// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
)

func newUninstall(a *app) *cobra.Command {
	var flags daemonFlags
	var force, purge bool
	cmd := &cobra.Command{
		Use:   "uninstall [OPTIONS]",
		Short: "Remove every trace from the kernel and end the daemon",
		Long: "Remove every trace from the kernel: sandboxes, networks, programs, rules, pins. A daemon that runs does it and ends;\n" +
			"without one this command does it itself, for the directories that the flags name.",
		Args: exactly(),
	}
	flags.define(cmd)
	cmd.Flags().BoolVarP(&force, "force", "f", false, "don't ask")
	cmd.Flags().BoolVar(&purge, "purge", false, "remove the state on disk too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		config, err := flags.config(a.env.Getenv)
		if err != nil {
			return err
		}
		socket := a.socketOf(cmd, config)
		if !force && !a.confirm("WARNING! This will stop all sandboxes and remove all networks of this daemon.") {
			return nil
		}
		removed := func(line string) { fmt.Fprintln(a.env.Stdout, line) }
		err = a.clientOf(socket).Uninstall(cmd.Context(), purge, removed)
		if errors.Is(err, api.ErrUnreachable) && !errors.Is(err, os.ErrPermission) {
			if !sameFile(socket, filepath.Join(config.RunDir, api.SocketName)) {
				// The directories that belong to that socket aren't known, and
				// another instance's are not to be touched in their place.
				return fmt.Errorf("%w; to remove what that daemon left, name its directories with --run-dir, --root and --bpffs", err)
			}
			err = a.programs.Uninstall(cmd.Context(), config, purge, removed)
		}
		return err
	}
	return cmd
}

// sameFile compares paths, which need not exist.
func sameFile(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return errX == nil && errY == nil && x == y
}
