// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"net/netip"

	"github.com/fairway-project/fairway/userspace/api/apitest"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// carried is what the host of a Docker Engine has beside fixture's.
func carried() request.Carried {
	net := func(name string, owner model.Owner) request.NetworkView {
		return request.NetworkView{Owner: owner, Network: model.Network{
			ID: apitest.ID("docker", name), Name: name, Driver: model.DriverBridge, Created: apitest.Epoch,
			IPv4: &model.Subnet{Prefix: netip.MustParsePrefix("172.30.0.0/16")},
		}}
	}
	box := func(name string, owner model.Owner, network, addr string, port uint16) request.SandboxView {
		return request.SandboxView{
			Owner: owner,
			Sandbox: model.Sandbox{
				ID: apitest.ID("container", name), Name: name, Mode: model.ModeNetworks, State: model.State{Status: model.StatusRunning},
				Published: []model.PublishedPort{{Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: netip.IPv4Unspecified(), HostPort: port}},
			},
			Endpoints: []request.SandboxEndpoint{{NetworkName: network, Endpoint: model.Endpoint{IPv4: netip.MustParsePrefix(addr)}}},
		}
	}
	return request.Carried{
		Networks: []request.NetworkView{net("compose_default", model.OwnerDocker), net("fast", model.OwnerDockerPlugin)},
		Containers: []request.SandboxView{
			box("shop", model.OwnerDocker, "compose_default", "172.30.0.2/16", 7000),
			box("quick", model.OwnerDockerPlugin, "fast", "172.30.0.3/16", 7001),
		},
		Services: []request.ServiceView{{
			Owner: model.OwnerDocker,
			Service: model.Service{
				ID: apitest.ID("docker", "scaled"), Name: "scaled", EndpointMode: model.EndpointModeDNSRR,
				Ports:     []model.ServicePort{{Port: model.Port{Num: 80, Proto: model.TCP}, Target: 80}},
				Published: []model.PublishedPort{{Port: model.Port{Num: 80, Proto: model.TCP}, HostIP: netip.IPv4Unspecified(), HostPort: 7002}},
			},
			Networks: []request.ServiceNetworkView{{Name: "compose_default", ServiceNetwork: model.ServiceNetwork{NetworkID: apitest.ID("docker", "compose_default")}}},
			Backends: []request.ServiceBackendView{{
				SandboxID: apitest.ID("container", "shop"), Name: "shop", IPv4: netip.MustParseAddr("172.30.0.2"), Weight: 1, State: model.BackendActive,
			}},
		}},
	}
}
