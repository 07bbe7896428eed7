// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/daemon"
	"github.com/fairway-project/fairway/userspace/docker/proxies"
	"github.com/fairway-project/fairway/userspace/docker/setup"
	"github.com/fairway-project/fairway/userspace/request"
)

func newDocker(a *app) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "docker",
		Short: "Let a Docker Engine leave its containers' traffic to Fairway",
	})
	cmd.AddCommand(newDockerSetup(a))
	return cmd
}

// setupFlags say what docker setup does.
type setupFlags struct {
	setup.Options
	root               string
	check, undo, force bool
}

func newDockerSetup(a *app) *cobra.Command {
	var f setupFlags
	cmd := &cobra.Command{
		Use:   "setup [OPTIONS]",
		Short: "Configure dockerd for Fairway, or tell what is wrong, or undo it",
		Long: "Configure dockerd for Fairway: write its daemon.json and remove the rules that it left behind. It tells what it will do and asks.\n" +
			"dockerd itself is not restarted.\n\n" +
			"With --check, exit code 0 if all is well, 1 for a warning, 2 for a failure.",
		Args: exactly(),
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.check, "check", false, "only tell what is wrong")
	flags.BoolVar(&f.undo, "undo", false, "put daemon.json back as it was")
	flags.BoolVarP(&f.force, "force", "f", false, "don't ask")
	flags.BoolVar(&f.NoForwarding, "no-forwarding", false, "also write ip-forward: false, for hosts that aren't routers; docker run then warns of it")
	flags.StringVar(&f.Config, "daemon-json", "", "dockerd's configuration file (default: the one that it uses)")
	flags.StringVar(&f.Proxy, "proxy", "", "Fairway's docker-proxy (default: the one that was installed with this program)")
	flags.StringVar(&f.root, "root", daemon.Default().Root, "directory of the daemon's state, where the file as it was is kept")
	files(cmd, "daemon-json", "json")
	files(cmd, "proxy")
	directories(cmd, "root")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case f.check && f.undo:
			return usagef(cmd, "--check and --undo don't go together")
		case f.check:
			return a.checkDocker(cmd.Context(), f.Options)
		case f.undo:
			return a.undoDocker(cmd.Context(), f)
		}
		return a.setUpDocker(cmd.Context(), f)
	}
	return cmd
}

func (a *app) checkDocker(ctx context.Context, o setup.Options) error {
	// Rules that the daemon heeds are no warning. It needn't run.
	if s, err := a.client().Status(ctx); err == nil {
		o.Netfilter = s.Datapath.Netfilter
	}
	checks, err := setup.Check(ctx, o)
	if err != nil {
		return err
	}
	rows := make([]checkRow, 0, len(checks))
	for _, c := range checks {
		rows = append(rows, checkRow{c.Name, string(c.Result), c.Fact, c.Fix})
	}
	header := checkRow{"CHECK", "RESULT", "FACT", "FIX"}
	if err := printList(a.env.Stdout, listFlags{}, header, checkColumns, "{{.Name}}", rows, checks); err != nil {
		return err
	}
	return verdict(checks)
}

// dockerKeeper keeps dockerd's configuration in the state in root: by the daemon that has
// that open, or itself where none does.
func (a *app) dockerKeeper(ctx context.Context, root string) (setup.Keeper, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	running := api.DockerConfigs{Client: a.client(), Root: root}
	switch _, _, err := running.Kept(ctx); {
	case err == nil:
		return running, nil
	case errors.Is(err, request.ErrNotFound):
		return nil, errors.New("the daemon that runs is of an earlier version, which can't keep dockerd's configuration: restart it first")
	case errors.Is(err, api.ErrUnreachable), errors.Is(err, request.ErrConflict):
		return setup.AtRest{Root: root}, nil
	default:
		return nil, err
	}
}

func (a *app) undoDocker(ctx context.Context, f setupFlags) error {
	keeper, err := a.dockerKeeper(ctx, f.root)
	if err != nil {
		return err
	}
	done, err := setup.Undo(ctx, f.Options, keeper)
	for _, line := range done {
		fmt.Fprintln(a.env.Stdout, line)
	}
	return err
}

func (a *app) setUpDocker(ctx context.Context, f setupFlags) error {
	if err := setup.CheckPrivilege(); err != nil {
		return err
	}
	if f.Proxy == "" {
		path, err := installedProxy()
		if err != nil {
			return err
		}
		f.Proxy = path
	}
	plan, err := setup.Make(ctx, f.Options)
	if err != nil {
		return err
	}
	for _, line := range plan.Lines() {
		fmt.Fprintln(a.env.Stdout, line)
	}
	if plan.Nothing() {
		fmt.Fprintln(a.env.Stdout, "nothing to change")
	} else if f.force || a.confirm("The changes above will be made.") {
		keeper, err := a.dockerKeeper(ctx, f.root)
		if err != nil {
			return err
		}
		if err := plan.Apply(ctx, keeper); err != nil {
			return err
		}
		fmt.Fprintln(a.env.Stdout, "done")
	} else {
		return nil
	}
	for _, note := range plan.Notes {
		fmt.Fprintln(a.env.Stdout, "note: "+note)
	}
	return nil
}

// installedProxy finds docker-proxy where make build and make install put it.
func installedProxy() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	return proxyBeside(exe)
}

// proxyBeside looks only where no PATH leads: an engine without userland-proxy-path starts
// whatever docker-proxy its PATH has, and relies on it to carry what comes to 127.0.0.1.
func proxyBeside(exe string) (string, error) {
	dir := filepath.Dir(exe)
	for _, below := range []string{"../lib/fairway", "lib"} {
		path := filepath.Join(dir, below, proxies.Name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s isn't installed beside %s: name it with --proxy", proxies.Name, exe)
}
