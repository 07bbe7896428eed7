// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/datapath/ebpf"
	"github.com/fairway-project/fairway/userspace/model"
)

// maxTimeout is what netfilter's timeouts, 32 bits of jiffies, can hold for sure.
const maxTimeout = 30 * 24 * time.Hour

// Bounds of flow_table_size. An entry takes up to 190 bytes of memory that the
// kernel can't swap; the upper bound is 6 GiB of them.
const (
	minFlowTable = 64
	maxFlowTable = 1 << 25
)

// Percent of endpoint_reserve.
const (
	defaultReserve = 10
	maxReserve     = 50
)

// Config of a daemon. The yaml names are the keys of the configuration file.
type Config struct {
	Datapath datapath.Mode `yaml:"datapath"`
	// Root holds the state, RunDir the socket, the lock and the namespaces,
	// BPFFS the pinned programs and maps.
	Root   string `yaml:"root"`
	RunDir string `yaml:"run_dir"`
	BPFFS  string `yaml:"bpffs"`
	// Uplinks are the devices that lead outside; empty for every one that is
	// nobody else's.
	Uplinks []string `yaml:"uplinks"`
	// Metrics is the address of the Prometheus endpoint; empty for none.
	Metrics string `yaml:"metrics"`
	// Docker is the socket of the Docker Engine whose networks are carried too, as
	// unix:///PATH; empty for none.
	Docker string `yaml:"docker"`
	// DockerPlugin is the path of the socket at which Docker finds the network
	// driver; its name is the driver's. Empty for none.
	DockerPlugin string `yaml:"docker_plugin"`
	// Netfilter says what the host's own rules mean for what goes between containers
	// and outside: nothing ("bypass"), or that they judge the first packets of each
	// connection ("first-packet"). Empty is "bypass", but doesn't start with Docker
	// where there are rules in its chain DOCKER-USER.
	Netfilter string `yaml:"netfilter"`
	// Debug logs more.
	Debug bool `yaml:"debug"`
	// FlowTableSize is the number of entries in each flow table of the eBPF
	// datapath, two per connection; 0 takes it from the memory.
	FlowTableSize uint32 `yaml:"flow_table_size"`
	// MasqueradePorts are the source ports of masqueraded TCP and UDP connections
	// whose own isn't free; zero for 1024-65535.
	MasqueradePorts model.PortRange `yaml:"masquerade_ports"`
	// EndpointReserve is how many percent of each flow table of the eBPF datapath, and
	// of the source ports towards each destination, are kept for endpoints that have
	// less than their even part of it; 0 for none.
	EndpointReserve uint32 `yaml:"endpoint_reserve"`
	// XDP says which uplinks run the XDP program of the eBPF datapath: "off", "auto"
	// for those whose driver can, "native" to refuse others, "generic" to have the
	// stack run it. Empty is off.
	XDP ebpf.XDP `yaml:"xdp"`
	// Timeouts of connections in the eBPF datapath; with iptables they are
	// sysctls of the host (net.netfilter.nf_conntrack_*_timeout*).
	Timeouts Timeouts `yaml:"timeouts"`
}

// Timeouts are written like 30s or 2h, and zero is netfilter's default.
type Timeouts struct {
	TCPSynSent        time.Duration `yaml:"tcp_syn_sent"`
	TCPSynRecv        time.Duration `yaml:"tcp_syn_recv"`
	TCPEstablished    time.Duration `yaml:"tcp_established"`
	TCPUnacknowledged time.Duration `yaml:"tcp_unacknowledged"`
	TCPFinWait        time.Duration `yaml:"tcp_fin_wait"`
	TCPTimeWait       time.Duration `yaml:"tcp_time_wait"`
	TCPClose          time.Duration `yaml:"tcp_close"`
	UDP               time.Duration `yaml:"udp"`
	UDPStream         time.Duration `yaml:"udp_stream"`
	ICMP              time.Duration `yaml:"icmp"`
	ICMPv6            time.Duration `yaml:"icmpv6"`
	SCTP              time.Duration `yaml:"sctp"`
	Generic           time.Duration `yaml:"generic"`
}

// check refuses what can't be a timeout.
func (t Timeouts) check() error {
	all := map[string]time.Duration{
		"tcp_syn_sent": t.TCPSynSent, "tcp_syn_recv": t.TCPSynRecv, "tcp_established": t.TCPEstablished,
		"tcp_unacknowledged": t.TCPUnacknowledged, "tcp_fin_wait": t.TCPFinWait, "tcp_time_wait": t.TCPTimeWait,
		"tcp_close": t.TCPClose, "udp": t.UDP, "udp_stream": t.UDPStream, "icmp": t.ICMP, "icmpv6": t.ICMPv6,
		"sctp": t.SCTP, "generic": t.Generic,
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if d := all[name]; d != 0 && (d < time.Second || d > maxTimeout) {
			return fmt.Errorf("timeout %s %s: want 1s to %s", name, d, maxTimeout)
		}
	}
	return nil
}

// Default is the configuration of a daemon that is told nothing.
func Default() Config {
	return Config{
		Datapath: datapath.EBPF,
		Root:     "/var/lib/fairway",
		RunDir:   "/run/fairway",
		BPFFS:    "/sys/fs/bpf/fairway",

		EndpointReserve: defaultReserve,
	}
}

// Load returns the configuration from the defaults, the file at path unless that
// is empty, and the environment, the later winning over the earlier. Command
// line flags are the caller's to apply on top, followed by Validate.
func Load(path string, getenv func(string) string) (Config, error) {
	c := Default()
	if path != "" {
		if err := c.loadFile(path); err != nil {
			return c, err
		}
	}
	return c, c.loadEnv(getenv)
}

// loadFile reads a YAML file; unknown keys are errors that name the line.
func (c *Config) loadFile(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if err := c.decode(content); err != nil {
		return fmt.Errorf("config %s: %w", path, err)
	}
	return nil
}

func (c *Config) decode(content []byte) error {
	dec := yaml.NewDecoder(bytes.NewReader(content))
	dec.KnownFields(true)
	err := dec.Decode(c)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return errors.New(yamlText(err))
	}
	if err := dec.Decode(new(Config)); !errors.Is(err, io.EOF) {
		return errors.New("more than one YAML document")
	}
	return nil
}

// yamlText makes one line of yaml's error, calls keys keys and names those that
// there are.
func yamlText(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	text = strings.ReplaceAll(text, "\n  ", "; ")
	for _, typ := range []reflect.Type{reflect.TypeFor[Config](), reflect.TypeFor[Timeouts]()} {
		text = strings.ReplaceAll(text, " not found in type "+typ.String(),
			" is not a known key, want "+strings.Join(keysOf(typ), ", "))
	}
	return strings.ReplaceAll(text, ": field ", ": ")
}

// keysOf returns the keys of a struct of the configuration, sorted.
func keysOf(typ reflect.Type) []string {
	var keys []string
	for field := range typ.Fields() {
		keys = append(keys, field.Tag.Get("yaml"))
	}
	slices.Sort(keys)
	return keys
}

func (c *Config) loadEnv(getenv func(string) string) error {
	for name, field := range map[string]*string{
		"FAIRWAY_ROOT": &c.Root, "FAIRWAY_RUN_DIR": &c.RunDir,
		"FAIRWAY_BPFFS": &c.BPFFS, "FAIRWAY_METRICS": &c.Metrics,
		"FAIRWAY_DOCKER": &c.Docker, "FAIRWAY_DOCKER_PLUGIN": &c.DockerPlugin,
		"FAIRWAY_NETFILTER": &c.Netfilter,
	} {
		if v := getenv(name); v != "" {
			*field = v
		}
	}
	if v := getenv("FAIRWAY_DATAPATH"); v != "" {
		c.Datapath = datapath.Mode(v)
	}
	if v := getenv("FAIRWAY_XDP"); v != "" {
		c.XDP = ebpf.XDP(v)
	}
	if v := getenv("FAIRWAY_UPLINKS"); v != "" {
		c.Uplinks = strings.Split(v, ",")
	}
	if v := getenv("FAIRWAY_ENDPOINT_RESERVE"); v != "" {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return fmt.Errorf("environment FAIRWAY_ENDPOINT_RESERVE=%s: want 0 to %d percent", v, maxReserve)
		}
		c.EndpointReserve = uint32(n)
	}
	if v := getenv("FAIRWAY_DEBUG"); v != "" {
		on, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("environment FAIRWAY_DEBUG=%s: want true or false", v)
		}
		c.Debug = on
	}
	return nil
}

// Validate checks the values and makes the directories absolute.
func (c *Config) Validate() error {
	if c.Datapath != datapath.EBPF && c.Datapath != datapath.IPTables {
		return fmt.Errorf("datapath %q: want %s or %s", c.Datapath, datapath.EBPF, datapath.IPTables)
	}
	for name, dir := range map[string]*string{"root": &c.Root, "run_dir": &c.RunDir, "bpffs": &c.BPFFS} {
		if *dir == "" {
			return fmt.Errorf("%s: is empty, want a directory", name)
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return fmt.Errorf("%s %s: %w", name, *dir, err)
		}
		*dir = abs
	}
	for _, u := range c.Uplinks {
		if u == "" || len(u) > 15 || strings.ContainsAny(u, "/ \t") {
			return fmt.Errorf("uplink %q: want the name of a network device", u)
		}
	}
	switch c.XDP {
	case "", ebpf.XDPOff, ebpf.XDPAuto, ebpf.XDPNative, ebpf.XDPGeneric:
	default:
		return fmt.Errorf("xdp %q: want %s, %s, %s or %s", c.XDP, ebpf.XDPOff, ebpf.XDPAuto, ebpf.XDPNative, ebpf.XDPGeneric)
	}
	if c.EndpointReserve > maxReserve {
		return fmt.Errorf("endpoint reserve %d: want 0 to %d percent", c.EndpointReserve, maxReserve)
	}
	if n := c.FlowTableSize; n != 0 && (n < minFlowTable || n > maxFlowTable) {
		return fmt.Errorf("flow table size %d: want %d to %d entries, two per connection", n, minFlowTable, maxFlowTable)
	}
	if err := c.checkMetrics(); err != nil {
		return err
	}
	if err := c.checkNetfilter(); err != nil {
		return err
	}
	if err := c.checkDocker(); err != nil {
		return err
	}
	if err := c.checkPlugin(); err != nil {
		return err
	}
	return c.Timeouts.check()
}
