// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/fairway-project/fairway/userspace/model"
	"github.com/fairway-project/fairway/userspace/netns"
	"github.com/fairway-project/fairway/userspace/sandbox"
)

// errReplaced says that an adopted namespace's path names another one now: a path of a
// process does when the PID is used again, any may after a reboot. What belongs to the
// sandbox must not be made there, least of all if it is the host's.
var errReplaced = errors.New("another namespace has its place")

// identity is what an adopted namespace is known by.
type identity struct {
	// id is read quickly and tells it from those that exist at the same time.
	id netns.ID
	// cookie tells it from all others of this boot; 0 where the kernel has none.
	cookie uint64
	boot   string
}

func identify(path string) (i identity, err error) {
	ns, err := netns.Open(path)
	if err != nil {
		return i, err
	}
	defer ns.Close()
	if i.id, err = ns.ID(); err != nil {
		return i, err
	}
	i.cookie, err = ns.Cookie()
	if errors.Is(err, unix.ENOPROTOOPT) {
		return i, nil
	}
	if err != nil {
		return i, err
	}
	i.boot, err = sandbox.BootID()
	return i, err
}

// afterReboot says of an adopted namespace that is gone that the machine has started again
// since. Whatever made it may make another at the same path, but nothing tells whether that
// one is meant.
func afterReboot(sb *model.Sandbox, why error) error {
	now, err := sandbox.BootID()
	if err != nil || sb.NetnsBoot == "" || sb.NetnsBoot == now {
		return why
	}
	return fmt.Errorf("the machine has started again since the namespace was adopted: when there is one again, "+
		"fairway rm %s and fairway sandbox add it once more: %w", sb.Name, why)
}

// checkAdopted returns an error that wraps errReplaced if the sandbox's path doesn't
// name the namespace that was adopted. A record of a daemon that didn't know cookies
// gets one.
func (e *Engine) checkAdopted(sb *model.Sandbox) error {
	now, err := identify(sb.Netns)
	if err != nil {
		return err
	}
	own, err := netnsID(ownNetns)
	if err != nil {
		return err
	}
	known := sb.NetnsCookie != 0
	if now.id == own || known && (now.cookie != sb.NetnsCookie || now.boot != sb.NetnsBoot) {
		return fmt.Errorf("namespace %s: %w", sb.Netns, errReplaced)
	}
	if !known && now.cookie != 0 {
		if err := e.remember(sb.ID, now); err != nil {
			return err
		}
	}
	e.facts.namespaces.set(sb.ID, now.id)
	return nil
}

func (e *Engine) remember(sandboxID string, i identity) error {
	defer e.locks.sandbox(sandboxID)()
	sb := e.state.sandbox(sandboxID)
	if sb == nil {
		return nil
	}
	now := *sb
	now.NetnsCookie, now.NetnsBoot = i.cookie, i.boot
	return e.commit(change{sandboxes: []*model.Sandbox{&now}})
}
