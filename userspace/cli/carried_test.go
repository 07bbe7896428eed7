// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"net/netip"

	"github.com/fairway-project/fairway/userspace/api"
	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/model"
)

// carried is what the host of a Docker Engine has beside fixture's.
func carried() api.Carried {
	net := func(name, owner string) api.NetworkView {
		return api.NetworkView{Owner: owner, Network: model.Network{
			ID: apitest.ID("docker", name), Name: name, Driver: model.DriverBridge, Created: apitest.Epoch,
			IPv4: &model.Subnet{Prefix: netip.MustParsePrefix("172.30.0.0/16")},
		}}
	}
	box := func(name, owner, network, addr string, port uint16) api.SandboxView {
		return api.SandboxView{
			Owner: owner,
			Sandbox: model.Sandbox{
				ID: apitest.ID("container", name), Name: name, Mode: model.ModeNetworks, State: model.State{Status: model.StatusRunning},
				Published: []model.PublishedPort{{Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: netip.IPv4Unspecified(), HostPort: port}},
			},
			Endpoints: []api.SandboxEndpoint{{NetworkName: network, Endpoint: model.Endpoint{IPv4: netip.MustParsePrefix(addr)}}},
		}
	}
	return api.Carried{
		Networks: []api.NetworkView{net("compose_default", api.OwnerDocker), net("fast", api.OwnerDockerPlugin)},
		Containers: []api.SandboxView{
			box("shop", api.OwnerDocker, "compose_default", "172.30.0.2/16", 7000),
			box("quick", api.OwnerDockerPlugin, "fast", "172.30.0.3/16", 7001),
		},
	}
}
