package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

const consumerTag = "bare"

// Consumer receives from the queue until ctx ends. Each message is posted to the service, and acknowledged when that has
// answered: what somebody would write who needs no more than that. It is what our channels are compared with.
func Consumer(ctx context.Context, url, queue, service string) error {
	connection, err := amqp091.Dial(url)
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Qos(inFlight, 0, false); err != nil {
		return err
	}
	deliveries, err := channel.Consume(queue, consumerTag, false, false, false, false, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: inFlight}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = channel.Cancel(consumerTag, false) })() // which ends the deliveries
	var workers sync.WaitGroup
	failures := make(chan error, inFlight)
	for range inFlight {
		workers.Go(func() {
			for d := range deliveries {
				if err := serve(client, service, queue, d); err != nil {
					failures <- err
					_ = connection.Close() // and with it everybody's deliveries
					return
				}
			}
		})
	}
	workers.Wait()
	close(failures)
	var all []error
	for err := range failures {
		all = append(all, err)
	}
	return errors.Join(all...)
}

// serve calls the service with a message, as a channel does, and acknowledges it.
func serve(client *http.Client, service, connector string, d amqp091.Delivery) error {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, service, bytes.NewReader(d.Body)) // the client has a time-out
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", d.ContentType)
	request.Header.Set("X-Zato-Connector", connector)
	request.Header.Set("X-Zato-Connector-Epoch", "1")
	request.Header.Set("X-Zato-Message-ID", d.MessageId)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", service, response.Status)
	}
	return d.Ack(false)
}
