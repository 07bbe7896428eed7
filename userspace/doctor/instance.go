// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"

	"github.com/fairway-project/fairway/userspace/request"
)

// daemon judges one that answers; the command line says of itself whether one does.
func daemon(f *facts) []request.Check {
	d := &f.daemon
	if d.err != nil {
		return nil
	}
	fact := fmt.Sprintf("version %s, %s mode", d.status.Version.Version, d.status.Datapath.Mode)
	checks := []request.Check{ok("daemon state", fact)}
	switch {
	case d.status.Datapath.Mode != f.mode:
		checks[0] = warn("daemon state", fmt.Sprintf("%s; asked for was %s", fact, f.mode), "systemctl restart fairway")
	case d.status.Version.Version != d.client.Version || d.status.Version.Commit != d.client.Commit:
		checks[0] = warn("daemon state", fact+"; this program is "+d.client.Version, "systemctl restart fairway")
	}
	for _, sentence := range d.status.Degraded {
		checks = append(checks, warn("daemon state", sentence, "journalctl -u fairway"))
	}
	return checks
}

// socket: who may open it is root.
func socket(f *facts) []request.Check {
	s := &f.socket
	if !s.exists {
		return nil
	}
	fact := fmt.Sprintf("%s has mode %04o in a directory with %04o", s.path, s.mode, s.directory)
	if s.mode&0o007 != 0 && s.directory&0o007 != 0 {
		return []request.Check{fail("socket", fact+": every user of the host can become root", "chmod 0660 "+s.path)}
	}
	return []request.Check{ok("socket", fact)}
}

func reservations(f *facts) []request.Check {
	if f.daemon.err != nil {
		return nil
	}
	var checks []request.Check
	for _, p := range f.daemon.ports {
		if p.problem != "" {
			checks = append(checks, warn("published ports", fmt.Sprintf("%s of sandbox %s: %s", p.port, p.sandbox, p.problem),
				"systemctl restart fairway"))
		}
	}
	if len(checks) == 0 {
		return []request.Check{ok("published ports", fmt.Sprintf("%d, all reserved on the host", len(f.daemon.ports)))}
	}
	return checks
}

// leftovers are what no running daemon owns.
func leftovers(f *facts) []request.Check {
	var checks []request.Check
	var stale []string
	for _, d := range f.devices {
		if d.owner != "" && !f.daemon.known[d.owner] && !f.daemon.carried[d.master] {
			stale = append(stale, d.name)
		}
	}
	const shown = 5
	if n := len(stale); n > 0 {
		list := strings.Join(stale[:min(n, shown)], ", ")
		if n > shown {
			list += fmt.Sprintf(" and %d more", n-shown)
		}
		fix := "fairway daemon takes them over, fairway uninstall removes them"
		if f.daemon.err == nil {
			fix = "systemctl restart fairway"
		}
		checks = append(checks, warn("leftovers", "devices that no daemon here owns: "+list, fix))
	}
	if len(f.otherTables) > 0 {
		checks = append(checks, warn("leftovers", fmt.Sprintf("tables of other versions in %s", f.bpffs), "systemctl restart fairway"))
	}
	if len(checks) == 0 {
		return []request.Check{ok("leftovers", "none")}
	}
	return checks
}
