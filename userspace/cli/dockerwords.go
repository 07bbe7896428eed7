// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// dockerWord tells a user of Docker's what there is here instead of a command or flag.
type dockerWord struct {
	// names are commands, or flags with and without their letter.
	names string
	text  string
}

// dockerCommand is what to say of a command of Docker's that Fairway lacks, empty if
// word is none.
func dockerCommand(cmd *cobra.Command, word string) string {
	if cmd.CommandPath() == "fairway service" {
		return dockerText(word, []dockerWord{
			{"scale", "a service starts nothing: each sandbox that it selects is a backend, from \"fairway run\" on"},
			{"ps", `"fairway service backends" lists them`},
			{"logs", `"fairway logs NAME" shows a backend's`},
			{"rollback", `"fairway service update" says what it is to be again`},
		})
	}
	if cmd.HasParent() {
		return ""
	}
	return dockerText(word, []dockerWord{
		{"attach", `a sandbox in the background has no terminal: "fairway logs -f NAME" follows its output, "fairway exec -it NAME -- sh" opens a shell in it`},
		{"start restart", `a sandbox that has ended isn't started again: "fairway rm NAME", then "fairway run"`},
		{"create", `a sandbox starts when it is made: "fairway run -d"; networks: "fairway network create"`},
		{"kill", `"fairway stop -s KILL NAME" ends a sandbox at once`},
		{"pause unpause rename update", "a sandbox stays as it was made, but for its networks: fairway network connect, disconnect"},
		{"image images pull push build buildx builder commit load save import export tag rmi history login logout search manifest",
			"there are no images: a sandbox has the host's root filesystem"},
		{"volume cp diff", "a sandbox has the host's root filesystem: its files are there as they are"},
		{"top", "the processes of sandboxes are the host's own: ps and top show them"},
		{"stats", `"fairway status" and its metrics count packets and connections; the processes are the host's own, top shows them`},
		{"events", "there is no stream of events: the daemon's log tells what changed"},
		{"info", `"fairway status"`},
		{"container", `sandboxes go without the noun: "fairway ps", "fairway run", "fairway inspect"`},
		{"system", `"fairway status", "fairway network prune"`},
		{"compose swarm stack node secret config", `there is one host, and "fairway service" for what its sandboxes serve; "fairway docker" lets a Docker Engine have more on Fairway's networks`},
	})
}

// dockerFlag is what to say of a flag of Docker's, empty if name is none.
func dockerFlag(cmd *cobra.Command, name string) string {
	process := []dockerWord{
		{"user u group-add userns privileged cap-add cap-drop security-opt", "a sandbox's process is the host's root; setpriv or su in its command makes it less"},
		{"env-file", "name each variable with -e"},
		{"detach-keys", "a process in the foreground can't be left to itself; run -d starts one in the background"},
	}
	noTimes := dockerWord{"since until timestamps t details", "the log has what the process wrote, without times; --tail counts lines"}
	switch strings.TrimPrefix(cmd.CommandPath(), "fairway ") {
	case "run":
		return dockerText(name, append(process, runWords()...))
	case "exec":
		return dockerText(name, append(process, dockerWord{"detach d", "exec stays in the foreground; & of the shell puts it into the background"}))
	case "logs":
		return dockerText(name, []dockerWord{noTimes})
	case "ps":
		return dockerText(name, []dockerWord{
			{"last n latest l", `"fairway ps -a" lists all, the newest first`},
			{"size s", "a sandbox has the host's root filesystem, and no size of its own"},
		})
	case "rm":
		return dockerText(name, []dockerWord{{"volumes v", "there are no volumes"}, {"link l", "links are given with run and stay"}})
	case "network create":
		return dockerText(name, []dockerWord{
			{"attachable ingress scope config-only config-from", "networks are of this host alone"},
			{"ipam-driver ipam-opt", "Fairway gives out the addresses; --subnet, --ip-range, --gateway and --aux-address say which"},
		})
	case "service create", "service update":
		return dockerText(name, []dockerWord{
			{"replicas replicas-max-per-node mode image args entrypoint command", "a service starts nothing: each sandbox that --select matches is a backend"},
			{"publish-add publish-rm", "--publish replaces all of them"},
			{"label-add label-rm", "--label replaces all of them"},
			{"network-add network-rm", "a service stays in its networks"},
			{"constraint constraint-add constraint-rm placement-pref", "there is one host"},
			{"health-cmd health-interval health-retries health-timeout no-healthcheck", "it is --health, as http:/healthz,interval=1s"},
			{"update-delay update-parallelism rollback force stop-grace-period", "--drain says how long the connections of a backend that leaves go on"},
		})
	case "network connect":
		return dockerText(name, []dockerWord{
			{"link", "links are given with run; --alias gives another name"},
			{"driver-opt link-local-ip", "an interface has no options but its addresses, its MAC address and aliases"},
		})
	}
	return ""
}

func runWords() []dockerWord {
	return []dockerWord{
		{"volume v mount tmpfs volumes-from volume-driver read-only storage-opt", "a sandbox has the host's root filesystem: every path is there as it is"},
		{"entrypoint pull platform disable-content-trust quiet q", "there is no image: what stands after -- is the command"},
		{"restart", "a sandbox that has ended isn't started again"},
		{"memory m memory-swap memory-reservation memory-swappiness kernel-memory cpus cpu-shares c cpu-period cpu-quota cpuset-cpus cpuset-mems " +
			"pids-limit ulimit blkio-weight oom-kill-disable oom-score-adj shm-size", "a sandbox has no limits; prlimit or systemd-run in its command sets some"},
		{"pid ipc uts cgroupns cgroup-parent runtime isolation init", "a sandbox has namespaces for network, mounts and the host's name; its processes are the host's own"},
		{"sysctl", `"fairway exec NAME -- sysctl -w" sets those of its network`},
		{"device device-cgroup-rule gpus", "a sandbox has the host's devices"},
		{"log-driver log-opt", `output in the background goes to a file, which "fairway logs" shows`},
		{"stop-signal stop-timeout", `"fairway stop -s SIGNAL -t SECONDS" says it`},
		{"health-cmd health-interval health-retries health-start-period health-timeout no-healthcheck", "nobody looks after a sandbox's health"},
		{"attach a sig-proxy", "in the foreground the process has this terminal's streams and signals; -d does without"},
		{"domainname", "--hostname takes a name with a domain"},
		{"cidfile label-file", "run -d prints the ID; -l takes labels"},
		{"net-alias", "it is --network-alias"},
		{"link-local-ip", "an interface has its own link-local address"},
	}
}

// dockerText finds name and returns its text as the end of a sentence.
func dockerText(name string, all []dockerWord) string {
	for _, w := range all {
		if slices.Contains(strings.Fields(w.names), name) {
			return ": " + w.text
		}
	}
	return ""
}
