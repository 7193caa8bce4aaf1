package measure

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/rabbitmq/amqp091-go"
)

// Publisher serves HTTP at the address until ctx ends. Each POST is published to the queue, and answered when the broker
// has confirmed it: what somebody would write who needs no more than that. It is what our connector hosts are compared
// with.
func Publisher(ctx context.Context, address, url, queue string) error {
	connection, err := amqp091.Dial(url)
	if err != nil {
		return err
	}
	defer connection.Close()
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Confirm(false); err != nil {
		return err
	}
	returns := channel.NotifyReturn(make(chan amqp091.Return, 16))
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for range returns { // it has a queue
		}
	}()
	defer func() { <-drained }()
	defer connection.Close()
	handle := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		confirmed, cancel := context.WithTimeout(r.Context(), 25*time.Second)
		defer cancel()
		confirmation, err := channel.PublishWithDeferredConfirmWithContext(confirmed, "", queue, true, false, amqp091.Publishing{
			MessageId: r.Header.Get("X-Zato-Message-ID"), ContentType: r.Header.Get("Content-Type"), DeliveryMode: amqp091.Persistent, Body: body,
		})
		taken := false
		if err == nil {
			taken, err = confirmation.WaitContext(confirmed)
		}
		if err != nil || !taken {
			http.Error(w, "not confirmed", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"zato_env":{"result":"ZATO_OK"}}`+"\n")
	}
	server := &http.Server{Addr: address, Handler: http.HandlerFunc(handle), ReadTimeout: time.Minute, WriteTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
