// SPDX-License-Identifier: Apache-2.0

package test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/test/harness"
)

var (
	audited  = regexp.MustCompile(`(?m)^time=\S+ level=INFO (msg=.* owner=.*)$`)
	idDigits = regexp.MustCompile(`[0-9a-f]{12}`)
	exitCode = regexp.MustCompile(`exit_code=\d+`)
)

// changes are the lines of the log that say what was made or removed, since a length of
// it, with X for IDs
// and N for exit codes: which signal ends a process first is a matter of time.
func changes(d *harness.Daemon, since int) (lines []string) {
	for _, m := range audited.FindAllStringSubmatch(d.Log()[since:], -1) {
		lines = append(lines, exitCode.ReplaceAllString(idDigits.ReplaceAllString(m[1], "X"), "exit_code=N"))
	}
	return lines
}

// logsChanges makes and removes one of each, and demands a line for each, before the
// command returns.
func logsChanges(t *testing.T, e *harness.Env) {
	for _, step := range []struct {
		do   []string
		want []string
	}{
		{[]string{"network", "create", "--subnet", "172.30.40.0/24", "logged"},
			[]string{`msg="network created" owner=fairway network=logged id=X driver=bridge device=br-X ipv4=172.30.40.0/24`}},
		{[]string{"network", "create", "--subnet", "172.30.41.0/24", "--ipv6", "--subnet", "fd00:41::/64", "other"},
			[]string{`msg="network created" owner=fairway network=other id=X driver=bridge device=br-X ipv4=172.30.41.0/24 ipv6=fd00:41::/64`}},
		{[]string{"run", "-d", "--name", "l1", "--network", "logged", "-p", "127.0.0.1:7000-7004:70-74", "-p", "127.0.0.1:7010:70/udp", "--", "sleep", "infinity"},
			[]string{
				`msg="sandbox run" owner=fairway sandbox=l1 id=X`,
				`msg="endpoint connected" owner=fairway sandbox=l1 network=logged endpoint=X ipv4=172.30.40.2`,
				`msg="port published" owner=fairway sandbox=l1 port=127.0.0.1:7000-7004->70-74/tcp`,
				`msg="port published" owner=fairway sandbox=l1 port=127.0.0.1:7010->70/udp`,
			}},
		{[]string{"network", "connect", "other", "l1"},
			[]string{`msg="endpoint connected" owner=fairway sandbox=l1 network=other endpoint=X ipv4=172.30.41.2 ipv6=fd00:41::2`}},
		{[]string{"network", "disconnect", "other", "l1"},
			[]string{`msg="endpoint disconnected" owner=fairway sandbox=l1 network=other endpoint=X ipv4=172.30.41.2 ipv6=fd00:41::2`}},
		{[]string{"service", "create", "--network", "logged", "--ip", "172.30.40.9", "--publish", "127.0.0.1:7020:70", "--backend", "l1", "shop"},
			[]string{
				`msg="service created" owner=fairway service=shop id=X ipv4=172.30.40.9`,
				`msg="port published" owner=fairway service=shop port=127.0.0.1:7020->70/tcp`,
			}},
		{[]string{"service", "drain", "shop", "l1"},
			[]string{`msg="backend draining" owner=fairway service=shop id=X backend=l1 reason="drained by hand"`}},
		{[]string{"service", "drain", "--undo", "shop", "l1"},
			[]string{`msg="backend active" owner=fairway service=shop id=X backend=l1`}},
		{[]string{"service", "update", "--publish", "127.0.0.1:7021:70", "--drain", "0s", "shop"},
			[]string{
				`msg="service updated" owner=fairway service=shop id=X`,
				`msg="port unpublished" owner=fairway service=shop port=127.0.0.1:7020->70/tcp`,
				`msg="port published" owner=fairway service=shop port=127.0.0.1:7021->70/tcp`,
			}},
		{[]string{"service", "rm", "shop"},
			[]string{
				`msg="port unpublished" owner=fairway service=shop port=127.0.0.1:7021->70/tcp`,
				`msg="service removed" owner=fairway service=shop id=X`,
			}},
		{[]string{"stop", "-t", "0", "l1"},
			[]string{
				`msg="port unpublished" owner=fairway sandbox=l1 port=127.0.0.1:7000-7004->70-74/tcp`,
				`msg="port unpublished" owner=fairway sandbox=l1 port=127.0.0.1:7010->70/udp`,
				`msg="endpoint disconnected" owner=fairway sandbox=l1 network=logged endpoint=X ipv4=172.30.40.2`,
				`msg="sandbox ended" owner=fairway sandbox=l1 id=X exit_code=N`,
			}},
		{[]string{"rm", "l1"}, []string{`msg="sandbox removed" owner=fairway sandbox=l1 id=X`}},
		{[]string{"network", "rm", "logged"}, []string{`msg="network removed" owner=fairway network=logged id=X`}},
		{[]string{"network", "rm", "other"}, []string{`msg="network removed" owner=fairway network=other id=X`}},
	} {
		before := len(e.Daemon.Log())
		e.Must(t, step.do...)
		if diff := cmp.Diff(step.want, changes(e.Daemon, before)); diff != "" {
			t.Errorf("fairway %s (-want +got):\n%s", strings.Join(step.do, " "), diff)
		}
	}
}

// takesOver demands that a start counts what is there, and logs none of it as new.
func takesOver(t *testing.T, e *harness.Env, want string) {
	t.Helper()
	e.Daemon.Kill(t)
	before := len(e.Daemon.Log())
	e.Daemon.Start(t)
	if diff := cmp.Diff([]string{want}, changes(e.Daemon, before)); diff != "" {
		t.Errorf("a start (-want +got):\n%s", diff)
	}
}
