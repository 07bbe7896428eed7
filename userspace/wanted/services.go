// SPDX-License-Identifier: Apache-2.0

package wanted

import (
	"context"

	"github.com/fairway-project/fairway/userspace/datapath"
	"github.com/fairway-project/fairway/userspace/request"
)

// serving returns the datapath as one that has services, or says that it has none.
func (s *State) serving() (datapath.Serving, error) {
	serving, can := s.Datapath.(datapath.Serving)
	if !can {
		return nil, request.Errorf(request.ErrConflict, "datapath %s has no services", s.Datapath.Mode())
	}
	return serving, nil
}

// ExpectService is ExpectNetwork for a service.
func (o *Owner) ExpectService(s datapath.Service) {
	o.state.mu.Lock()
	defer o.state.mu.Unlock()
	o.want.services[s.ID] = s
}

// PutService wants a service, or wants it otherwise than before. It isn't to be changed
// after the call.
func (o *Owner) PutService(ctx context.Context, s datapath.Service) error {
	return o.edit(func() error {
		if _, err := o.state.serving(); err != nil {
			return err
		}
		o.want.services[s.ID] = s
		return nil
	}, func() error {
		serving, err := o.state.serving()
		if err != nil {
			return err
		}
		return serving.EnsureService(ctx, s)
	}, func() {})
}

// DeleteService ends the wish for a service.
func (o *Owner) DeleteService(ctx context.Context, id string) error {
	return o.remove(func() error {
		serving, err := o.state.serving()
		if err != nil {
			// It has none.
			return nil
		}
		return serving.DeleteService(ctx, id)
	}, func() { delete(o.want.services, id) })
}
