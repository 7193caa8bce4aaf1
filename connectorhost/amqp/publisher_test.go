package amqp

import (
	"strings"
	"testing"

	"github.com/rabbitmq/amqp091-go"
)

func TestWhatComesBackConcernsThoseWhoWaitForIt(t *testing.T) {
	returned := make(chan amqp091.Return, 1)
	p := &publisher{confirm: true, returned: returned, flying: map[routeKey]*flight{}}
	comes := func(id string) {
		returned <- amqp091.Return{MessageId: id, RoutingKey: "orders", ReplyText: "NO_ROUTE", ReplyCode: amqp091.NoRoute}
	}
	key := func(id string) routeKey { return routeKey{id: id, routingKey: "orders"} }
	p.begin(key("given up"))
	p.begin(key("other"))
	if back := p.end(key("given up")); back != "" {
		t.Errorf("nothing has come back, and it is told %q", back)
	}
	comes("given up")
	if back := p.end(key("other")); back != "" {
		t.Errorf("another one has come back, and it is told %q", back)
	}
	p.begin(key("given up")) // and sent again, now that there is a queue
	if back := p.end(key("given up")); back != "" {
		t.Errorf("an earlier one had come back, and it is told %q", back)
	}
	p.begin(key("twice"))
	p.begin(key("twice"))
	comes("twice")
	for range 2 {
		if back := p.end(key("twice")); !strings.Contains(back, "NO_ROUTE (312)") {
			t.Errorf("it has come back, and one of the two is told %q", back)
		}
	}
	if len(p.flying) != 0 {
		t.Errorf("%v are still on their way", p.flying)
	}
}
