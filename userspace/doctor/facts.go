// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"github.com/fairway-project/fairway/loader"
	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/request"
)

// facts are all that the judgements look at.
type facts struct {
	mode datapath.Mode
	// firstPacket says that the host's rules judge connections, in mode ebpf.
	firstPacket bool
	// flowEntries is how many each flow table is to have.
	flowEntries uint64

	// missingCaps are the capabilities that the process lacks.
	missingCaps []string
	// blind says that the process may not see the host: nothing below is known but
	// what files of the kernel tell.
	blind   bool
	release string
	// realtime is set on a kernel with PREEMPT_RT.
	realtime bool
	features []loader.Result

	bpffs        string
	bpffsMounted bool
	cgroup2      string
	privateMnt   bool

	memTotal, memAvailable uint64
	nrOpen                 uint64

	// sysctls by path below /proc/sys; absent where the kernel hasn't got it.
	sysctls map[string]string
	rules   ruleset

	devices []device
	// uplinks are the names that were asked for, mayLead the devices that would count
	// without.
	uplinks, mayLead []string
	host             model.Host

	daemon daemonFacts
	socket socketFacts
	// otherTables are directories below bpffs with tables of other versions.
	otherTables []string
}

// device is a network device of the host.
type device struct {
	name string
	mtu  int
	// owner is the ID in the alias of a device that Fairway made, master that of the bridge
	// which it is a port of.
	owner, master, kind string
	ethernet            bool
	uplink              bool
	// programs are those of others, as HOOK NAME.
	programs []string
	lro, gro bool
}

// daemonFacts are what the daemon answered; err is why it didn't.
type daemonFacts struct {
	err    error
	status request.Status
	// client is the version of this program.
	client request.Version
	// known are the IDs of its networks and endpoints.
	known map[string]bool
	// carried are the IDs of networks of others, whose endpoints only their owners tell.
	carried map[string]bool
	// ports by whether a socket holds them.
	ports []portFact
}

type portFact struct {
	sandbox string
	port    model.PublishedPort
	// problem is empty for a port that is reserved.
	problem string
}

// socketFacts are of the API's socket and its directory.
type socketFacts struct {
	path            string
	exists          bool
	mode, directory uint32
}

// ruleset is what of the firewall concerns forwarded packets.
type ruleset struct {
	// policyDrop names the tools whose FORWARD policy is DROP.
	policyDrop []string
	// forward counts the rules that an administrator made, dockerUser are such.
	forward    int
	dockerUser []string
	// accepting names the tools with a rule in FORWARD that accepts.
	accepting []string
	// userJumps names the tools whose FORWARD leads to DOCKER-USER.
	userJumps      []string
	ufw, firewalld bool
	// nftables are further tables with a chain at the forward hook.
	nftables []string
}
