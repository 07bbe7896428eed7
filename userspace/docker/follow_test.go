// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairway-project/fairway/userspace/docker/client"
)

// listedNow are the containers that the watcher knows.
func (w *world) listedNow() (ids []string) {
	w.watcher.mu.Lock()
	defer w.watcher.mu.Unlock()
	for _, c := range w.watcher.view.containers {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	return ids
}

// event is one of a container, or of its connection to a network.
func event(kind, action, id, container string) client.Event {
	ev := client.Event{Type: kind, Action: action}
	ev.Actor.ID = id
	if container != "" {
		ev.Actor.Attributes = map[string]string{"container": container}
	}
	return ev
}

// An engine that starts one more container is asked for that one, not for all.
func TestOneContainerIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.eventually("the first listing", func() bool {
		w.watcher.mu.Lock()
		defer w.watcher.mu.Unlock()
		return w.watcher.view.complete
	})
	w.engine.edit(func() {
		w.engine.lists, w.engine.asked = nil, nil
		w.engine.containers = []client.Container{{ID: "a"}, {ID: "b"}}
	})
	knows := func(what string, ids ...string) {
		t.Helper()
		w.eventually(what, func() bool { return slices.Equal(w.listedNow(), ids) })
	}
	w.engine.send(event("container", "start", "a", ""))
	knows("one that started", "a")
	w.engine.send(event("network", "connect", netID, "b"))
	knows("one that was connected", "a", "b")
	w.engine.edit(func() { w.engine.containers = []client.Container{{ID: "b"}} })
	w.engine.send(event("container", "die", "a", ""))
	knows("one that ended", "b")
	w.engine.edit(func() {
		if diff := cmp.Diff([][]string{{"a"}, {"b"}, {"a"}}, w.engine.lists); diff != "" {
			t.Errorf("lists of containers (-want +got):\n%s", diff)
		}
		if !slices.Equal(w.engine.asked, []string{netID}) {
			t.Errorf("networks that were asked for: %q", w.engine.asked)
		}
	})
}

// What an event leaves out is found by asking for all.
func TestContainerWithoutID(t *testing.T) {
	w := newWorld(t)
	w.engine.edit(func() { w.engine.containers = []client.Container{{ID: "a"}} })
	w.engine.send(event("network", "connect", netID, ""))
	w.eventually("the container is known", func() bool { return slices.Equal(w.listedNow(), []string{"a"}) })
}

func TestQuestions(t *testing.T) {
	todo := newTodo()
	if q := todo.take(); !q.none() {
		t.Errorf("%+v of nothing", q)
	}
	for i := range fewContainers {
		todo.container(string(rune('a' + i)))
	}
	if q := todo.take(); q.none() || q.allContainers || len(q.containers) != fewContainers {
		t.Errorf("%+v of a few containers", q)
	}
	for i := range fewContainers + 1 {
		todo.container(string(rune('a' + i)))
	}
	if q := todo.take(); !q.allContainers {
		t.Errorf("%+v of many containers", q)
	}
}
