// SPDX-License-Identifier: Apache-2.0

package model

// Owner is who made a network and what is on it.
type Owner string

// The owners that the daemon has.
const (
	// OwnerFairway is Fairway's own command line and API.
	OwnerFairway Owner = "fairway"
	// OwnerDocker is a Docker Engine with bridge networks of its own (--docker),
	// OwnerDockerPlugin one that asks Fairway's network driver (--docker-plugin).
	OwnerDocker       Owner = "docker"
	OwnerDockerPlugin Owner = "docker-plugin"
)
