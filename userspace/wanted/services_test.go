// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/request"
)

// servingKernel has services.
type servingKernel struct{ *kernel }

func (k servingKernel) EnsureService(_ context.Context, s datapath.Service) error {
	return k.call("service %s", s.Name)
}

func (k servingKernel) DeleteService(_ context.Context, id string) error {
	return k.call("no service %s", id)
}

func (servingKernel) ServiceStats(context.Context, ...string) ([]datapath.ServiceStats, error) {
	return nil, nil
}

func TestServices(t *testing.T) {
	k := &kernel{}
	s := newState(t, k, 0)
	s.Datapath = servingKernel{k}
	o := s.Owner("somebody", Options{})
	defer o.Close()
	ctx := context.Background()
	o.ExpectService(datapath.Service{ID: "1", Name: "expected"})
	k.refuse("service refused")
	if err := o.PutService(ctx, datapath.Service{ID: "2", Name: "refused"}); !errors.Is(err, errRefused) {
		t.Errorf("the answer isn't the datapath's: %v", err)
	}
	if err := o.PutService(ctx, datapath.Service{ID: "1", Name: "web"}); err != nil {
		t.Error(err)
	}
	if have, want := k.take(), "service web"; have != want {
		t.Errorf("said %q, want %q", have, want)
	}
	if err := o.DeleteService(ctx, "2"); err != nil {
		t.Error(err)
	}
	o.SaidAll(ctx, false)
	if len(k.pruned) != 1 || len(k.pruned[0].Services) != 1 || k.pruned[0].Services[0].Name != "web" {
		t.Errorf("leftovers are what isn't in %+v", k.pruned)
	}
	s.Stop()
	if err := o.PutService(ctx, datapath.Service{ID: "3"}); !errors.Is(err, ErrStopped) {
		t.Errorf("taken after Stop: %v", err)
	}
	if err := o.DeleteService(ctx, "1"); err != nil {
		t.Errorf("a deletion was refused after Stop: %v", err)
	}
}

// TestNoServices is a datapath that can't have them.
func TestNoServices(t *testing.T) {
	k := &kernel{}
	s := newState(t, k, 0)
	o := s.Owner("somebody", Options{})
	defer o.Close()
	err := o.PutService(context.Background(), datapath.Service{ID: "1", Name: "web"})
	if !errors.Is(err, request.ErrConflict) || !strings.Contains(err.Error(), "has no services") {
		t.Errorf("refused with: %v", err)
	}
	if err := o.DeleteService(context.Background(), "1"); err != nil {
		t.Error(err)
	}
	o.SaidAll(context.Background(), false)
	if len(k.pruned) != 1 || k.pruned[0].Services != nil {
		t.Errorf("services are wanted of a datapath that has none: %+v", k.pruned)
	}
}
