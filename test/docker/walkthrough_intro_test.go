// SPDX-License-Identifier: Apache-2.0

package docker

// walkthroughIntro begins the page.
const walkthroughIntro = `# A walk through Docker's networks

The exercises of the usual tutorials on Docker's networks, with an unmodified Docker Engine on
Fairway. [docker.md](docker.md) tells how to set that up. To try them, have Docker and Fairway on a
host, and type what follows a prompt.

    outside 198.51.100.10 ── 192.0.2.254 router ─┬─ host  192.0.2.1     Docker and Fairway
                                                 └─ lan   192.0.2.10    a neighbour

` + "`host$`" + `, ` + "`lan$`" + ` and ` + "`outside$`" + ` say where a command runs. The server outside answers on port 80, and
so does the host on port 9000, with the address that it sees.

This page is the record of a run: ` + "`go test ./test/docker -run Walkthrough -update`" + ` writes it, and
without the flag the test demands that all of it happens again, on each engine. Times, and the
numbers that engine and kernel choose (IDs, free ports), are replaced by fixed ones. The images are
made of Debian's packages: ` + "`busybox`" + `, ` + "`python`" + `, ` + "`redis`" + ` and ` + "`nginx`" + ` are the programs of these names,
with busybox beside them.

After each exercise the test looks for rules of netfilter's on the host, with iptables (both kinds),
ip6tables and nft: there has to be none, in no table. How many packets the programs sent on is read
from ` + "`fairway status -o json`" + ` before and after.
`
