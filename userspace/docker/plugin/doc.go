// SPDX-License-Identifier: Apache-2.0

// Package plugin is a network driver for Docker: networks made with "docker network
// create -d fairway" are bridges, veths and published ports of Fairway's own. It
// speaks Docker's remote driver protocol (libnetwork, docs/remote.md and
// drivers/remote/api) on a unix socket in /run/docker/plugins.
//
// Docker keeps the addresses, the names and the namespaces: it moves the device
// that Join names into the container and configures it. The driver makes the
// devices in the network namespace that it and dockerd share, tells the datapath
// before Join answers, and reserves and publishes host ports.
//
// Be aware:
//   - Docker never repeats CreateNetwork after a restart of its own, of the host
//     or of the driver: what is known is stored, and made again at start;
//   - Docker repeats calls, and sends them in a wrong order after failures. Every
//     call may come twice, and what ends something may come when it is gone;
//   - Docker can't show the ports that a driver of this kind publishes
//     (moby/libnetwork#2451); EndpointOperInfo and the daemon's log tell them;
//   - no call names the container, and no call may ask Docker for it: Docker holds
//     the container's lock while it waits for the answer;
//   - networks of swarm's scope aren't supported.
package plugin
