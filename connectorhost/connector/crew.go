package connector

import (
	"context"
	"sync"
	"sync/atomic"
)

// task is a delivery to be handled, and the life of the connection that it came by.
type task struct {
	connection context.Context
	delivery   Delivery
}

// crew are goroutines that handle deliveries. They are used again, because a new one first has to grow a stack for a call
// over HTTP, which is a twentieth of all the work.
type crew struct {
	tasks   chan task
	idle    atomic.Int64 // those that wait for a task, or are about to
	workers sync.WaitGroup
}

// mostIdle are kept.
const mostIdle = 64

func newCrew() crew { return crew{tasks: make(chan task)} }

// do has somebody perform a task, and does not wait for that. perform calls free when all but a trifle is done. It is
// called by one goroutine.
func (c *crew) do(t task, perform func(t task, free func())) {
	if c.idle.Load() > 0 { // nobody else takes one away
		c.idle.Add(-1)
		c.tasks <- t
		return
	}
	c.workers.Go(func() { c.work(t, perform) })
}

func (c *crew) work(t task, perform func(t task, free func())) {
	for {
		stays := false
		perform(t, func() {
			if stays = c.idle.Add(1) <= mostIdle; !stays {
				c.idle.Add(-1)
			}
		})
		if !stays {
			return
		}
		next, more := <-c.tasks
		if !more {
			return
		}
		t = next
	}
}

// dismiss ends all goroutines; nothing is to be done any more.
func (c *crew) dismiss() {
	close(c.tasks)
	c.workers.Wait()
}
