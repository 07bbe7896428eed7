// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"errors"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/fairway-project/fairway/userspace/daemon"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// daemonFlags say where a daemon lives and how it works. Flags win over the
// environment, that over the file, and that over the defaults.
type daemonFlags struct {
	file   string
	update []func(*daemon.Config)
}

// define adds the flags that also the commands have that do without a daemon.
func (d *daemonFlags) define(cmd *cobra.Command) {
	f := cmd.Flags()
	def := daemon.Default()
	f.StringVar(&d.file, "config", "", "configuration file, YAML (default $FAIRWAY_CONFIG)")
	d.text(f, def.Root, "root", "directory of the state", func(c *daemon.Config) *string { return &c.Root })
	d.text(f, def.RunDir, "run-dir", "directory of the socket, the lock and the namespaces",
		func(c *daemon.Config) *string { return &c.RunDir })
	d.text(f, def.BPFFS, "bpffs", "directory of the pinned programs and maps, on a bpffs",
		func(c *daemon.Config) *string { return &c.BPFFS })
	v := &value[datapath.Mode]{kind: "ebpf|iptables", text: string(def.Datapath), parse: parseMode}
	v.set = func(m datapath.Mode) {
		d.update = append(d.update, func(c *daemon.Config) { c.Datapath = m })
	}
	f.Var(v, "datapath", "what carries the packets")
	files(cmd, "config", "yaml", "yml")
	directories(cmd, "root", "run-dir", "bpffs")
	choices(cmd, "datapath", cobra.Completion(datapath.EBPF), cobra.Completion(datapath.IPTables))
}

// text defines a flag for one text of the configuration.
func (d *daemonFlags) text(f *pflag.FlagSet, def, name, usage string, field func(*daemon.Config) *string) {
	v := &value[string]{kind: "string", text: def, parse: func(s string) (string, error) { return s, nil }}
	v.set = func(s string) {
		d.update = append(d.update, func(c *daemon.Config) { *field(c) = s })
	}
	f.Var(v, name, usage)
}

// config is what the flags, the environment and the file say together.
func (d *daemonFlags) config(getenv func(string) string) (daemon.Config, error) {
	c, err := daemon.Load(cmp.Or(d.file, getenv("FAIRWAY_CONFIG")), getenv)
	if err != nil {
		return c, request.Mark(request.ErrInvalid, err)
	}
	for _, update := range d.update {
		update(&c)
	}
	return c, request.Mark(request.ErrInvalid, c.Validate())
}

func parseMode(s string) (datapath.Mode, error) {
	m := datapath.Mode(s)
	if m != datapath.EBPF && m != datapath.IPTables {
		return m, errors.New("want ebpf or iptables")
	}
	return m, nil
}

func parseEntries(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, errors.New("want a number of entries")
	}
	return uint32(n), nil
}

func parsePercent(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, errors.New("want a number of percent")
	}
	return uint32(n), nil
}

func newDaemon(a *app) *cobra.Command {
	var flags daemonFlags
	var uplinks []string
	cmd := &cobra.Command{
		Use:   "daemon [OPTIONS]",
		Short: "Run the daemon in the network namespace that it is started in",
		Long: "Run the daemon in the network namespace that it is started in.\n\n" +
			"SIGHUP makes it read its configuration file again and log what changed and what can't without a restart;\n" +
			"SIGUSR1 has it log what every goroutine does.\n\n" +
			"Exit code 78 if the settings are wrong, 1 if it can't start or go on for another reason.",
		Args: func(cmd *cobra.Command, args []string) error { return wrongSettings(noArguments(cmd, args)) },
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return wrongSettings(flagError(cmd, err)) })
	flags.define(cmd)
	f := cmd.Flags()
	words(f, &uplinks, "uplink", "", "IF", "device that leads outside; again for more (default: all that are nobody else's)")
	flags.text(f, "", "metrics", "address of the Prometheus endpoint, like 127.0.0.1:9090",
		func(c *daemon.Config) *string { return &c.Metrics })
	defineDocker(f, &flags)
	f.Var(&value[uint32]{kind: "N", parse: parseEntries, set: func(n uint32) {
		flags.update = append(flags.update, func(c *daemon.Config) { c.FlowTableSize = n })
	}}, "flow-table-size", "entries of each flow table of the eBPF datapath, two per connection (default: by memory)")
	f.Var(&value[model.PortRange]{kind: "FIRST-LAST", parse: model.ParsePortRange, set: func(r model.PortRange) {
		flags.update = append(flags.update, func(c *daemon.Config) { c.MasqueradePorts = r })
	}}, "masquerade-ports", "source ports for masqueraded connections whose own isn't free (default: 1024-65535)")
	f.Var(&value[uint32]{kind: "PERCENT", parse: parsePercent, set: func(n uint32) {
		flags.update = append(flags.update, func(c *daemon.Config) { c.EndpointReserve = n })
	}}, "endpoint-reserve", "percent of each flow table, and of the ports towards each destination, that is kept for endpoints with little (default: 10)")
	f.Var(&value[ebpf.XDP]{kind: "MODE", parse: func(s string) (ebpf.XDP, error) { return ebpf.XDP(s), nil }, set: func(x ebpf.XDP) {
		flags.update = append(flags.update, func(c *daemon.Config) { c.XDP = x })
	}}, "xdp", "XDP program on uplinks: off, auto (where the driver can), native (refuse others) or generic (default: off)")
	choices(cmd, "xdp", cobra.Completion(ebpf.XDPOff), cobra.Completion(ebpf.XDPAuto), cobra.Completion(ebpf.XDPNative), cobra.Completion(ebpf.XDPGeneric))
	choices(cmd, "netfilter", cobra.Completion(datapath.NetfilterBypass), cobra.Completion(datapath.NetfilterFirstPacket))
	choices(cmd, "docker", dockerSocket)
	choices(cmd, "docker-plugin", pluginSocket)
	completeFlag(cmd, "uplink", completeDevices)
	debug := f.Bool("debug", false, "log more")
	var verifierLog string
	one(f, &verifierLog, "verifier-log", "FILE", "write all that the kernel's verifier says of a program that it refuses",
		func(s string) (string, error) { return s, nil })
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if a.socket != "" {
			return wrongSettings(usagef(cmd, "--socket says whom to ask; --run-dir says where the daemon listens"))
		}
		flags.update = append(flags.update, func(c *daemon.Config) {
			if len(uplinks) > 0 {
				c.Uplinks = uplinks
			}
			c.Debug = c.Debug || *debug
		})
		read := func() (daemon.Config, error) { return flags.config(a.env.Getenv) }
		c, err := read()
		if err != nil {
			return wrongSettings(err)
		}
		return keepVerifierLog(verifierLog, a.programs.Daemon(cmd.Context(), c, read))
	}
	return cmd
}

// noArguments explains what becomes of the value in "--docker VALUE".
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && (bare(cmd, "docker") || bare(cmd, "docker-plugin")) {
		return usagef(cmd, "%q is one argument too many: --docker and --docker-plugin take a value after an equals sign", args[0])
	}
	return exactly()(cmd, args)
}

// bare reports whether a flag was given that needs no value, without one.
func bare(cmd *cobra.Command, name string) bool {
	f := cmd.Flags().Lookup(name)
	return f.Changed && f.Value.String() == f.NoOptDefVal
}
