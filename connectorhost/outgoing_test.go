package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"zatoha/connectorhost/connector"
)

// fileSettings are of a broker that is a file: what is sent stands in it. It never confirms a message "hang", and can
// never take a message "unfit".
type fileSettings struct{ path string }

func decodeFile(f *connector.Fields) connector.Settings { return fileSettings{f.Required("path")} }

func (s fileSettings) Capabilities() connector.Capabilities {
	return connector.Capabilities{Guarantee: connector.AtLeastOnce, Prepare: true}
}
func (s fileSettings) InFlight() int                                 { return 10 }
func (s fileSettings) Source(connector.Environment) connector.Source { return nil }
func (s fileSettings) Sink(connector.Environment) connector.Sink     { return s }
func (s fileSettings) Close(context.Context) error                   { return nil }
func (s fileSettings) Connect(context.Context) error {
	if _, err := os.Stat(filepath.Dir(s.path)); err != nil {
		return fmt.Errorf("%w: %w", connector.ErrNotConnected, err)
	}
	return nil
}

func (s fileSettings) Wait(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (s fileSettings) Send(ctx context.Context, m connector.Message) error {
	switch string(m.Body) {
	case "unfit":
		return fmt.Errorf("%w: nobody is to have it", connector.ErrUnfit)
	case "lost":
		return fmt.Errorf("%w: the connection broke", connector.ErrNotConnected)
	}
	file, err := os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	fmt.Fprintf(file, "%s %s %s %s\n", m.ID, m.ContentType, m.Properties["key"], m.Body)
	if string(m.Body) == "hang" {
		<-ctx.Done()
		return ctx.Err()
	}
	return file.Close()
}

// post posts a message as servers do. The answer is one line: status, outcome, duplicate, body.
func post(address, name string, change func(*http.Request), body string) (string, error) {
	request, err := http.NewRequest(http.MethodPost, "http://"+address+"/outgoing/"+name, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Close = true
	request.Header.Set("X-Zato-Message-ID", "m-"+body)
	request.Header.Set("X-Zato-Connector-Kind", "file")
	request.Header.Set("Content-Type", "application/octet-stream")
	request.Header.Set("Authorization", "Bearer 0123456789abcdef")
	if change != nil {
		change(request)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return fmt.Sprintf("%d %s %s %s", response.StatusCode, response.Header.Get("X-Zato-Outcome"), response.Header.Get("X-Zato-Duplicate"), text), err
}

func TestServicesSendByTheActiveHost(t *testing.T) {
	broker := filepath.Join(t.TempDir(), "broker")
	w := newTrio(t, append(patient, "--invoke-token", "0123456789abcdef", "--max-message-bytes", "1000")...)
	w.put("orders", fmt.Sprintf(`{"name": "orders", "kind": "file", "role": "outgoing", "path": %q}`, broker))
	w.put("away", `{"name": "away", "kind": "file", "role": "outgoing", "path": "/no/such/folder/x"}`)
	w.put("idle", `{"name": "idle", "kind": "file", "role": "outgoing", "path": "x", "is_active": false}`)
	w.put("bad", `{"name": "bad", "kind": "file", "role": "outgoing"}`)
	w.put("mine", `{"name": "mine", "kind": "zmq", "role": "outgoing", "socket_type": "PUB", "socket_method": "bind", "address": "tcp://127.0.0.1:1"}`)
	active, r := w.active(0, 1)
	standby := "host-a"
	if active.id == standby {
		standby = "host-b"
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	expect := func(address, name string, change func(*http.Request), body, want string) {
		t.Helper()
		got, err := post(address, name, change, body)
		if err != nil || !strings.HasPrefix(got, want) && !strings.Contains(got, want) {
			t.Errorf("post %.20q to %s: %s, %v; want %s", body, name, got, err, want)
		}
	}
	to := active.address
	expect(to, "orders", nil, "one", "200   {")
	expect(to, "orders", nil, "one", "200  true {")
	expect(to, "orders", func(r *http.Request) {
		r.Header.Set("Content-Type", "text/plain")
		r.Header.Set("X-Zato-Properties", `{"key": "\u00e9"}`)
	}, "two", "200   {")
	expect(to, "orders", nil, "unfit", "422 not-sent  {")
	expect(to, "orders", nil, "lost", "503   {")
	expect(to, "orders", header("X-Zato-Message-ID", "large"), strings.Repeat("x", 1001), "413 not-sent  {")
	expect(to, "orders", header("X-Zato-Message-ID", ""), "x", "400 not-sent  {")
	expect(to, "orders", header("X-Zato-Properties", "[]"), "x", "400 not-sent  {")
	expect(to, "orders", header("Authorization", "Bearer 0123456789abcdeg"), "x", "401 not-sent  {")
	expect(to, "orders", header("X-Zato-Connector-Kind", "amqp"), "x", "404 not-sent  {")
	expect(to, "no-such", nil, "x", "404 not-sent  {")
	expect(to, "mine", header("X-Zato-Connector-Kind", "zmq"), "x", "400 not-sent  {")
	expect(to, "idle", nil, "x", `503 not-sent  {"zato_env":{"result":"ZATO_ERROR","details":"connector \"idle\" is not active"}}`)
	expect(to, "bad", nil, "x", "503 not-sent  {")
	expect(to, "away", nil, "x", "503 not-sent  {")
	expect(w.hosts[standby].address, "orders", nil, "x", "503 not-sent  {")
	expect(w.hosts[standby].address, "orders", nil, "x", "is standing by, ask the active host: "+active.id+" at "+active.address)

	t.Log("the process is killed with a message in hand: nobody knows")
	said := make(chan string, 1)
	go func() {
		got, err := post(to, "orders", nil, "hang")
		said <- fmt.Sprint(got, err)
	}()
	const want = "m-one application/octet-stream  one\nm-two text/plain é two\n"
	eventually(t, "it is on its way", func() bool {
		text, _ := os.ReadFile(broker)
		return strings.HasPrefix(string(text), want) && strings.HasSuffix(string(text), "hang\n")
	}, func() string { text, _ := os.ReadFile(broker); return string(text) })
	for _, c := range r.Connectors {
		if c.Name == "orders" {
			if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := <-said; !strings.HasPrefix(got, "503   {") {
		t.Error(got)
	}
	eventually(t, "it is back", func() bool {
		got, err := post(to, "orders", nil, "three")
		return err == nil && strings.HasPrefix(got, "200")
	}, func() string { return "" })

	text := metrics(t, to)
	for _, want := range []string{
		`outgoing_messages_total{connector="orders",result="sent"} 3`, `outgoing_messages_total{connector="orders",result="duplicate"} 1`,
		`outgoing_messages_total{connector="orders",result="unconfirmed"} 2`, `outgoing_duration_seconds_count{connector="orders"} 3`,
		"zatoha_connectorhost_outgoing_remembered 3",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}

	t.Log("another host takes over")
	begun := time.Now()
	active.stop()
	next, now := w.active(r.Epoch, 1)
	t.Logf("another host sends %v after this one was asked to stop", time.Since(begun).Round(time.Millisecond))
	expect(next.address, "orders", nil, "four", "200   {")
	for _, sent := range []string{"one", "three", "four"} {
		expect(next.address, "orders", nil, sent, "200  true {")
	}

	t.Log("a host that has heard of everything takes over from one that is killed")
	delete(w.hosts, active.id)
	delete(w.hosts, next.id)
	for _, heir := range w.hosts {
		var text string
		eventually(t, "it has heard", func() bool {
			text = metrics(t, heir.address)
			return strings.Contains(text, "zatoha_connectorhost_outgoing_learned_total 4\n")
		}, func() string { return text })
	}
	next.kill()
	last, _ := w.active(now.Epoch, 1)
	for _, sent := range []string{"one", "three", "four"} {
		expect(last.address, "orders", nil, sent, "200  true {")
	}
	expect(last.address, "orders", nil, "five", "200   {")
	if text, _ := os.ReadFile(broker); string(text) != want+"m-hang application/octet-stream  hang\nm-three application/octet-stream  three\n"+
		"m-four application/octet-stream  four\nm-five application/octet-stream  five\n" {
		t.Errorf("the broker has\n%s", text)
	}
}

func TestWithoutATokenOnlyWhoKnowsTheAddressSends(t *testing.T) {
	o := newHost(settings{MaxMessageBytes: 1}, "connectors.example:17110", zerolog.Nop()).sends
	for host, ok := range map[string]bool{"connectors.example:17110": true, "127.0.0.1:17110": true, "[::1]:17110": true, "localhost:1": true, "evil.example:17110": false} {
		request, err := http.NewRequest(http.MethodPost, "http://"+host+"/outgoing/orders", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Zato-Message-ID", "1")
		if bad := o.admit(request); (bad == nil) != ok {
			t.Errorf("%s: %+v", host, bad)
		}
	}
}

// The connector is connecting, drains, is not active or is deleted: that changes nothing about what was sent by it.
func TestWhatWasSentOrIsOnItsWayIsAnsweredSoThoughNothingCanBeSentNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newHost(settings{MaxMessageBytes: 1000}, "127.0.0.1:17110", zerolog.Nop()).sends
		ask := func(id string) string {
			request := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:17110/outgoing/orders", strings.NewReader("x"))
			request.SetPathValue("name", "orders")
			request.Header.Set("X-Zato-Message-ID", id)
			answer := httptest.NewRecorder()
			o.ServeHTTP(answer, request)
			return fmt.Sprintf("%d %s %s", answer.Code, answer.Header().Get("X-Zato-Outcome"), answer.Header().Get("X-Zato-Duplicate"))
		}
		expect := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		send(o.window, "sent")
		expect("sent", ask("sent"), "200  true")
		expect("new", ask("new"), "503 not-sent ")
		for id, becomes := range map[string]struct {
			reply
			want string
		}{
			"confirmed":   {replyTo(nil), "200  true"},
			"unconfirmed": {replyTo(connector.ErrNotConnected), "503  "},
			"refused":     {refused("the broker is full"), "503 not-sent "},
		} {
			under, _ := o.window.begin(windowKey("orders", id), time.Now())
			answer := make(chan string, 1)
			go func() { answer <- ask(id) }()
			synctest.Wait()
			if len(answer) > 0 {
				t.Errorf("%s: answered before it was known what became of it", id)
			}
			o.window.finish(under, becomes.reply, becomes.status == http.StatusOK, time.Now())
			expect(id, <-answer, becomes.want)
		}
		time.Sleep(rememberSends)
		expect("sent long ago", ask("sent"), "503 not-sent ")
	})
}

func TestAnOutgoingErrorChoosesTheAnswer(t *testing.T) {
	for _, test := range []struct {
		err     error
		status  int
		notSent bool
	}{
		{nil, 200, false},
		{fmt.Errorf("a: %w", connector.ErrUnfit), 422, true},
		{fmt.Errorf("a: %w: %w", connector.ErrNotSent, connector.ErrBackOff), 503, true},
		{fmt.Errorf("a: %w", connector.ErrNotConnected), 503, false},
		{fmt.Errorf("a: %w", context.DeadlineExceeded), 504, false},
		{errors.New("a"), 503, false},
	} {
		if r := replyTo(test.err); r.status != test.status || r.notSent != test.notSent {
			t.Errorf("%v: %+v", test.err, r)
		}
	}
}
