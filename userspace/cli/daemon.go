// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/datapath"
)

// DaemonOptions are the flags of fairway daemon; what was not given is as in
// DefaultDaemonOptions.
type DaemonOptions struct {
	Datapath datapath.Mode
	// ConfigFile is empty for none.
	ConfigFile string
	Root       string
	RunDir     string
	BPFFS      string
	// Uplinks is empty for every interface that is nobody else's.
	Uplinks []string
	// Metrics is the address of the Prometheus endpoint; empty for none.
	Metrics string
	// Debug logs more.
	Debug bool
	// Given tells by name which flags were on the command line: those win over
	// the configuration file.
	Given map[string]bool
}

// DefaultDaemonOptions is a daemon without flags.
func DefaultDaemonOptions() DaemonOptions {
	return DaemonOptions{
		Datapath: datapath.EBPF,
		Root:     "/var/lib/fairway",
		RunDir:   filepath.Dir(api.DefaultSocket),
		BPFFS:    "/sys/fs/bpf/fairway",
	}
}

// define adds the flags that say where a daemon lives.
func (o *DaemonOptions) define(f *pflag.FlagSet) {
	*o = DefaultDaemonOptions()
	f.StringVar(&o.ConfigFile, "config", "", "configuration file (YAML); flags win over it")
	f.StringVar(&o.Root, "root", o.Root, "directory of the state")
	f.StringVar(&o.RunDir, "run-dir", o.RunDir, "directory of the socket, the lock and the namespaces")
	f.StringVar(&o.BPFFS, "bpffs", o.BPFFS, "directory of the pinned programs and maps, on a bpffs")
}

func (o *DaemonOptions) given(f *pflag.FlagSet) {
	o.Given = make(map[string]bool)
	f.Visit(func(flag *pflag.Flag) { o.Given[flag.Name] = true })
}

func newDaemon(a *app) *cobra.Command {
	var opts DaemonOptions
	cmd := &cobra.Command{
		Use:   "daemon [OPTIONS]",
		Short: "Run the daemon in the network namespace that it is started in",
		Args:  exactly(),
	}
	f := cmd.Flags()
	opts.define(f)
	defineDatapath(cmd, &opts.Datapath)
	words(f, &opts.Uplinks, "uplink", "", "IF", "device that leads outside; again for more (default all that are nobody else's)")
	f.StringVar(&opts.Metrics, "metrics", "", "address of the Prometheus endpoint, like 127.0.0.1:9090")
	f.BoolVar(&opts.Debug, "debug", false, "log more")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		opts.given(cmd.Flags())
		return a.programs.Daemon(cmd.Context(), opts)
	}
	return cmd
}

func defineDatapath(cmd *cobra.Command, mode *datapath.Mode) {
	v := &value[datapath.Mode]{kind: "ebpf|iptables", text: string(*mode), set: func(m datapath.Mode) { *mode = m }}
	v.parse = func(s string) (datapath.Mode, error) {
		m := datapath.Mode(s)
		if m != datapath.EBPF && m != datapath.IPTables {
			return m, errors.New("want ebpf or iptables")
		}
		return m, nil
	}
	cmd.Flags().Var(v, "datapath", "what carries the packets")
	choices(cmd, "datapath", cobra.Completion(datapath.EBPF), cobra.Completion(datapath.IPTables))
}
