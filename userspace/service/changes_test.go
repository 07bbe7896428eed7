// SPDX-License-Identifier: Apache-2.0

package service

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fairway-project/fairway/userspace/audit"
	"github.com/fairway-project/fairway/userspace/model"
)

// The log has a line for each backend whose state has changed, and none for what was there
// before, what a backend begins with, and what was refused.
func TestChangesAreLogged(t *testing.T) {
	run(t, func(x *fixture) {
		var text bytes.Buffer
		x.Log = audit.New(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch a.Key {
			case slog.TimeKey, "owner", "service", "id":
				return slog.Attr{}
			}
			return a
		}})), model.OwnerFairway)
		// Nobody logs while the bubble waits.
		logged := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			got := strings.FieldsFunc(text.String(), func(r rune) bool { return r == '\n' })
			text.Reset()
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		s := svc("web", selecting("app", "web"))
		s.Health = model.Health{Kind: model.HealthTCP, Interval: time.Second, Timeout: time.Second, Rise: 1, Fall: 1}
		x.Load([]*model.Service{s}, []Member{box("a", 1, "app=web"), box("c", 3, "app=web")})
		x.Begin(x.ctx)
		logged("a start")
		x.SetMember(x.ctx, box("b", 2, "app=web"))
		logged("another", `level=INFO msg="backend active" backend=b`)
		x.fail("10.0.0.2", true)
		time.Sleep(5 * time.Second)
		logged("a failure", `level=WARN msg="backend down" backend=b reason="no room"`)
		x.fail("10.0.0.2", false)
		time.Sleep(5 * time.Second)
		logged("its end", `level=INFO msg="backend active" backend=b`)
		now := *s
		now.Drained = []string{"id-b"}
		x.owner.refuse = true
		if err := x.Put(x.ctx, &now); err == nil {
			t.Error("a refusal is no error")
		}
		logged("a refusal")
		x.owner.refuse = false
		x.put(&now)
		logged("a drain", `level=INFO msg="backend draining" backend=b reason="drained by hand"`)
		x.put(s)
		logged("the end of it", `level=INFO msg="backend active" backend=b`)
		x.Leaving(x.ctx, "id-a", true)
		logged("a stop", `level=INFO msg="backend draining" backend=a reason="its sandbox is being stopped"`)
		x.RemoveMember(x.ctx, "id-a")
		logged("an end")
		moved := box("b", 2, "app=web")
		moved.Endpoints[0].NetworkID = "back"
		x.SetMember(x.ctx, moved)
		logged("another network", `level=WARN msg="backend down" backend=b reason="is in none of the service's networks"`)
		x.SetMember(x.ctx, box("c", 3))
		logged("another label", `level=INFO msg="backend draining" backend=c reason="left the service"`)
		time.Sleep(time.Minute)
		logged("the end of its drain", `level=INFO msg="backend down" backend=c reason="left the service, and its time to drain is over"`)
	})
}
