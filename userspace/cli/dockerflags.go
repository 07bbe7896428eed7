// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"github.com/spf13/pflag"

	"github.com/fairway-project/fairway/userspace/daemon"
)

// dockerSocket is where a Docker Engine listens unless it was told otherwise.
const dockerSocket = "unix:///var/run/docker.sock"

// pluginSocket is where Docker looks for the network driver "fairway".
const pluginSocket = "/run/docker/plugins/fairway.sock"

// defineDocker adds the flags about a Docker Engine on the same host.
func defineDocker(f *pflag.FlagSet, d *daemonFlags) {
	d.text(f, "", "docker", "carry the networks of the Docker Engine at this socket, "+dockerSocket+" if none is given",
		func(c *daemon.Config) *string { return &c.Docker })
	f.Lookup("docker").NoOptDefVal = dockerSocket
	d.text(f, "", "docker-plugin", "be a network driver for Docker at this socket, "+pluginSocket+" if none is given",
		func(c *daemon.Config) *string { return &c.DockerPlugin })
	f.Lookup("docker-plugin").NoOptDefVal = pluginSocket
	d.text(f, "", "netfilter", "what the host's own rules mean for containers: \"bypass\" nothing, \"first-packet\" that they judge connections with the outside",
		func(c *daemon.Config) *string { return &c.Netfilter })
}
