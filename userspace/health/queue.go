// SPDX-License-Identifier: Apache-2.0

package health

import (
	"container/heap"
	"time"
)

// check is a target with what its checks have said.
type check struct {
	group, name string
	target      Target
	state       State
	reason      string
	// row counts the last answers that contradict state.
	row int
	// eager is the pause until the next check of a target that was never healthy; 0 for
	// one that was.
	eager time.Duration
	// slow says that the last check got no answer in time.
	slow bool

	due time.Time
	// place is where it is in its queue, -1 while it is in none.
	place int
	// gone is set when the target is to be asked no more.
	gone bool
}

// queue is a heap of checks by due time.
type queue []*check

var _ heap.Interface = (*queue)(nil)

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	k := x.(*check)
	k.place = len(*q)
	*q = append(*q, k)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	k := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	k.place = -1
	return k
}

// add puts a check into the queue, and remove takes it out.
func (q *queue) add(k *check)    { heap.Push(q, k) }
func (q *queue) remove(k *check) { heap.Remove(q, k.place) }

// head is the check that is due first, nil for none.
func (q queue) head() *check {
	if len(q) == 0 {
		return nil
	}
	return q[0]
}
