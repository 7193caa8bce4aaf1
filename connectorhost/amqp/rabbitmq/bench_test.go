package rabbitmq

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"zatoha/connectorhost/conformance"
	"zatoha/connectorhost/connector"
	"zatoha/connectorhost/invoke"
)

var throughput = flag.Int("throughput", 0, "rounds of TestThroughput; 0 leaves it out")

const (
	perRound = 3000
	inFlight = 20
)

// TestThroughput compares, round by round in turn, a channel with a bare consumer of the library that makes the same call
// and acknowledges, and an outgoing connector with a bare publisher with confirms. It asserts nothing; take its figures
// on a quiet machine:
//
//	go test ./connectorhost/amqp/rabbitmq -run TestThroughput -throughput 30 -v
func TestThroughput(t *testing.T) {
	if *throughput == 0 {
		t.Skip("a measurement: ask for it with -throughput 30")
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, `{"ok": true}`)
	}))
	defer service.Close()
	for _, kind := range []string{"classic", "quorum"} {
		queue := newQueue(t, kind, nil)
		compare(t, kind+" channel", func() float64 {
			fill(t, queue)
			return channelRate(t, queue, kind, service.URL)
		}, func() float64 {
			fill(t, queue)
			return bareRate(t, queue, service.URL)
		})
		compare(t, kind+" channel with 1 % poison, against itself without", func() float64 {
			fill(t, queue)
			defer purge(t, queue+".dead-letter")
			return poisonedRate(t, queue, kind, service.URL, 100)
		}, func() float64 {
			fill(t, queue)
			return channelRate(t, queue, kind, service.URL)
		})
		compare(t, kind+" outgoing", func() float64 {
			defer purge(t, queue)
			return senderRate(t, queue)
		}, func() float64 {
			defer purge(t, queue)
			return barePublishRate(t, queue)
		})
	}
}

// compare prints how much of the bare rate ours is, in pairs.
func compare(t *testing.T, what string, ours, bare func() float64) {
	t.Helper()
	var ratios, rates, bares []float64
	for i := range *throughput {
		var a, b float64
		if i%2 == 0 {
			a, b = ours(), bare()
		} else {
			b, a = bare(), ours()
		}
		ratios, rates, bares = append(ratios, a/b), append(rates, a), append(bares, b)
	}
	for _, all := range [][]float64{ratios, rates, bares} {
		slices.Sort(all)
	}
	n := len(ratios)
	t.Logf("%s: n=%d, ratio median %.3f, worst %.3f, best %.3f; ours median %.0f/s, bare median %.0f/s",
		what, n, ratios[n/2], ratios[0], ratios[n-1], rates[n/2], bares[n/2])
}

var body = bytes.Repeat([]byte("x"), 256)

func fill(t *testing.T, queue string) {
	messages := make([]amqp091.Publishing, perRound)
	for i := range messages {
		messages[i] = amqp091.Publishing{MessageId: fmt.Sprintf("%05d", i), ContentType: "application/json", Body: body}
	}
	put(t, queue, messages...)
}

func purge(t *testing.T, queue string) {
	admin(t, func(c *amqp091.Channel) error {
		_, err := c.QueuePurge(queue, false)
		return err
	})
}

// channelRate is messages per second of a channel, from the first to the last call.
func channelRate(t *testing.T, queue, kind, url string) float64 {
	return poisonedRate(t, queue, kind, url, 0)
}

// poisonedRate is channelRate with one message of so many poison, unless that is 0.
func poisonedRate(t *testing.T, queue, kind, url string, poison int64) float64 {
	client, err := invoke.New(invoke.Config{
		LB: url, Connector: "test", Service: "service", MediaType: "application/json", Epoch: func() uint64 { return 1 },
	})
	must(t, err)
	defer client.Close()
	var m meter
	var failed atomic.Int64
	r := runChannel(t, map[string]any{"queue": queue, "queue_type": kind, "prefetch_count": inFlight},
		func(ctx context.Context, message connector.Message) error {
			m.begin()
			err := client.Invoke(ctx, message)
			if poison > 0 && message.ID[len(message.ID)-2:] == "00" {
				if failed.Add(1)%3 == 0 { // attempts of three
					m.end()
				}
				return errService
			}
			m.end()
			return err
		})
	rate := m.rate(t)
	if poison > 0 {
		conformance.Eventually(t, "parked messages", func() bool { return r.now().Counts.Parked == perRound/poison })
		if counts := r.now().Counts; counts.Failed != 3*perRound/poison {
			t.Errorf("%+v", counts)
		}
	}
	r.stop(t)
	return rate
}

// meter measures from the first begin to the last end.
type meter struct {
	once  sync.Once
	first time.Time
	count atomic.Int64
	done  chan struct{}
	init  sync.Once
}

func (m *meter) ready() { m.init.Do(func() { m.done = make(chan struct{}) }) }

func (m *meter) begin() {
	m.ready()
	m.once.Do(func() { m.first = time.Now() })
}

func (m *meter) end() {
	if m.count.Add(1) == perRound {
		close(m.done)
	}
}

func (m *meter) rate(t *testing.T) float64 {
	m.ready()
	select {
	case <-m.done:
		return perRound / time.Since(m.first).Seconds()
	case <-time.After(bound):
		t.Fatal("it does not end")
		return 0
	}
}

// bareRate is the same by the library alone.
func bareRate(t *testing.T, queue, url string) float64 {
	connection, err := amqp091.Dial(node.URL())
	must(t, err)
	defer connection.Close()
	channel, err := connection.Channel()
	must(t, err)
	must(t, channel.Qos(inFlight, 0, false))
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	deliveries, err := channel.Consume(queue, "bare", false, false, false, false, nil)
	must(t, err)
	var m meter
	var workers sync.WaitGroup
	for range inFlight {
		workers.Go(func() {
			for d := range deliveries {
				m.begin()
				request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url+"/zato/invoke/service", bytes.NewReader(d.Body))
				if err != nil {
					t.Error(err)
					return
				}
				request.Header.Set("Content-Type", d.ContentType)
				request.Header.Set("X-Zato-Message-ID", d.MessageId)
				response, err := client.Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if err := d.Ack(false); err != nil {
					t.Error(err)
				}
				m.end()
			}
		})
	}
	rate := m.rate(t)
	must(t, connection.Close())
	workers.Wait()
	return rate
}

// publishers send at the same time.
const publishers = 20

func inParallel(send func(i int) error) (rate float64, err error) {
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	since := time.Now()
	for from := range publishers {
		all.Go(func() {
			for i := from; i < perRound; i += publishers {
				if err := send(i); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	all.Wait()
	rate = perRound / time.Since(since).Seconds()
	if e := failed.Load(); e != nil {
		err = *e
	}
	return rate, err
}

func senderRate(t *testing.T, queue string) float64 {
	s, r := runSender(t, map[string]any{"routing_key": queue})
	r.await(t, connector.Running)
	ctx := within(t, bound)
	rate, err := inParallel(func(i int) error {
		return s.Send(ctx, connector.Message{ID: fmt.Sprint(i), Body: body})
	})
	must(t, err)
	r.cancel()
	<-r.done
	return rate
}

func barePublishRate(t *testing.T, queue string) float64 {
	connection, err := amqp091.Dial(node.URL())
	must(t, err)
	defer connection.Close()
	channel, err := connection.Channel()
	must(t, err)
	must(t, channel.Confirm(false))
	ctx := within(t, bound)
	rate, err := inParallel(func(i int) error {
		confirmation, err := channel.PublishWithDeferredConfirm("", queue, true, false, amqp091.Publishing{
			MessageId: fmt.Sprint(i), DeliveryMode: amqp091.Persistent, Body: body,
		})
		if err != nil {
			return err
		}
		_, err = confirmation.WaitContext(ctx)
		return err
	})
	must(t, err)
	return rate
}

// TestAHandoverIsShort measures the time between the last call of a channel that is stopped and the first of one that
// stands ready, with messages waiting. It asserts nothing but a generous bound.
func TestAHandoverIsShort(t *testing.T) {
	const handovers = 30
	queue := newQueue(t, "quorum", nil)
	fields := map[string]any{"queue": queue, "queue_type": "quorum"}
	var last atomic.Int64 // when the latest call ended
	var messages []amqp091.Publishing
	for i := range 2000 {
		messages = append(messages, named(fmt.Sprint(i)))
	}
	var gaps []time.Duration
	old := runChannel(t, fields, func(context.Context, connector.Message) error {
		last.Store(time.Now().UnixNano())
		return nil
	})
	for range handovers {
		var first atomic.Int64
		begin := make(chan struct{})
		next := runChannelWith(t, fields, connector.Options{Begin: begin}, func(context.Context, connector.Message) error {
			now := time.Now().UnixNano()
			first.CompareAndSwap(0, now)
			last.Store(now)
			return nil
		})
		next.await(t, connector.Prepared)
		put(t, queue, messages...)
		conformance.Eventually(t, "messages", func() bool { return ready(t, queue) < 2000 })
		old.stop(t)
		before := last.Load()
		close(begin)
		put(t, queue, named("more")) // should all be gone by now
		conformance.Eventually(t, "first call", func() bool { return first.Load() != 0 })
		gaps = append(gaps, time.Duration(first.Load()-before))
		old = next
	}
	slices.Sort(gaps)
	t.Logf("n=%d, median %v, worst %v", handovers, gaps[handovers/2], gaps[handovers-1])
	if gaps[handovers-1] > 10*time.Second {
		t.Errorf("a handover took %v", gaps[handovers-1])
	}
}

// TestAnIdleConnectorIsSmall says how much memory one takes. It asserts nothing.
func TestAnIdleConnectorIsSmall(t *testing.T) {
	queue := newQueue(t, "classic", nil)
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	r := runChannel(t, map[string]any{"queue": queue}, succeed)
	r.await(t, connector.Running)
	after := heap()
	resident, _ := os.ReadFile("/proc/self/statm")
	t.Logf("a running channel holds %d KiB of the heap; statm of the test: %s", (int64(after)-int64(before))/1024, resident)
	r.stop(t)
}
