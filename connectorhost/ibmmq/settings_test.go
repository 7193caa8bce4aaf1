package ibmmq

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"zatoha/connectorhost/connector"
)

// decodeWith decodes a good definition with some fields changed; one that is "" is left out.
func decodeWith(role connector.Role, changes map[string]string) (*connector.Definition, error) {
	fields := map[string]string{
		"name": `"orders"`, "kind": `"ibmmq"`, "role": strconv.Quote(string(role)), "queue_manager": `"QM1"`, "channel": `"ZATOHA.SVRCONN"`,
		"host": `"mq1"`, "queue": `"ORDERS"`,
	}
	if role == connector.Channel {
		fields["service"] = `"order.new"`
	}
	maps.Copy(fields, changes)
	var all []string
	for name, value := range fields {
		if value != "" {
			all = append(all, fmt.Sprintf("%q: %s", name, value))
		}
	}
	return connector.Decode([]byte("{" + strings.Join(all, ", ") + "}"))
}

func settingsOf(t *testing.T, role connector.Role, changes map[string]string) (*connector.Definition, *Settings) {
	t.Helper()
	d, err := decodeWith(role, changes)
	if err != nil {
		t.Fatal(err)
	}
	return d, d.Settings.(*Settings)
}

func TestAnExclusiveHoldIsTheDefault(t *testing.T) {
	d, s := settingsOf(t, connector.Channel, nil)
	can := s.Capabilities()
	if !can.Exclusive || !can.Ordered || !can.Counts || !can.Transacted || can.RetryInPlace || s.InFlight() != 1 {
		t.Errorf("%+v, %d in flight", can, s.InFlight())
	}
	if s.Port != 1414 || s.Wait != 50*time.Millisecond || s.MaxMessageBytes != 4<<20 || d.MaxAttempts != connector.DefaultMaxAttempts {
		t.Errorf("%+v", s)
	}
	_, s = settingsOf(t, connector.Channel, map[string]string{"pool_size": "4"})
	if can := s.Capabilities(); can.Exclusive || can.Ordered || s.InFlight() != 4 {
		t.Errorf("a pool: %+v, %d in flight", can, s.InFlight())
	}
}

func TestTheThresholdIsTheNumberOfAttempts(t *testing.T) {
	d, _ := settingsOf(t, connector.Channel, map[string]string{"backout_threshold": "7"})
	if d.MaxAttempts != 7 {
		t.Errorf("%d attempts", d.MaxAttempts)
	}
	d, _ = settingsOf(t, connector.Channel, map[string]string{"backout_threshold": "7", "max_attempts": "7"})
	if d.MaxAttempts != 7 {
		t.Errorf("%d attempts", d.MaxAttempts)
	}
}

func TestTheBackoutQueueHasTwoNames(t *testing.T) {
	for _, field := range []string{"backout_queue", "dead_letter"} {
		if _, s := settingsOf(t, connector.Channel, map[string]string{field: `"ORDERS.BACKOUT"`}); s.BackoutQueue != "ORDERS.BACKOUT" {
			t.Errorf("%s: %+v", field, s)
		}
	}
}

func TestConnectionNames(t *testing.T) {
	for hosts, want := range map[string]string{
		"mq1": "mq1(1414)", "mq1, mq2": "mq1(1414),mq2(1414)", "::1": "::1(1414)", "10.0.0.1": "10.0.0.1(1414)",
	} {
		if _, s := settingsOf(t, connector.Channel, map[string]string{"host": strconv.Quote(hosts)}); s.connectionName() != want {
			t.Errorf("%s: %s", hosts, s.connectionName())
		}
	}
}

func TestOutgoingFields(t *testing.T) {
	_, s := settingsOf(t, connector.Outgoing, map[string]string{
		"delivery_mode": "1", "priority": "7", "expiration": `"1001"`, "reply_to": `"ANSWERS@QM2"`, "pool_size": "3",
	})
	if s.Persistent || s.Priority != 7 || s.Expiry != 11 || s.ReplyTo != "ANSWERS" || s.ReplyToQMgr != "QM2" || s.InFlight() != 3 {
		t.Errorf("%+v", s)
	}
	_, s = settingsOf(t, connector.Outgoing, nil)
	if !s.Persistent || s.Priority != -1 || s.Expiry != -1 || s.ReplyTo != "" {
		t.Errorf("%+v", s)
	}
}

func TestABadDefinitionIsRefused(t *testing.T) {
	long := strconv.Quote(strings.Repeat("x", 300))
	for _, test := range []struct {
		role    connector.Role
		changes map[string]string
		want    string
	}{
		{connector.Channel, map[string]string{"queue": ""}, "queue is missing"},
		{connector.Channel, map[string]string{"queue_manager": ""}, "queue_manager is missing"},
		{connector.Channel, map[string]string{"queue_manager": `"Q M"`}, `queue_manager is "Q M"`},
		{connector.Channel, map[string]string{"channel": ""}, "channel is missing"},
		{connector.Channel, map[string]string{"channel": `"CHANNEL.WITH.TOO.LONG.NAME"`}, "channel has 26 bytes, must have at most 20"},
		{connector.Channel, map[string]string{"host": ""}, "host is missing"},
		{connector.Channel, map[string]string{"host": `"mq1(1415)"`}, "the port has a field of its own"},
		{connector.Channel, map[string]string{"host": `"mq1,,mq2"`}, "host is"},
		{connector.Channel, map[string]string{"host": long}, "connection name of 306 bytes"},
		{connector.Channel, map[string]string{"port": "70000"}, "port is 70000"},
		{connector.Channel, map[string]string{"password": `"s3cret"`}, "password needs a user"},
		{connector.Channel, map[string]string{"user": `"u"`, "password": `"${env}"`}, "password has a reference"},
		{connector.Channel, map[string]string{"cipher_spec": `"ANY_TLS12"`}, "key_repository is missing"},
		{connector.Channel, map[string]string{"key_repository": `"/k"`}, "key_repository does nothing without cipher_spec"},
		{connector.Channel, map[string]string{"cipher_spec": `"ANY"`, "key_repository": long}, "key_repository has 300 bytes"},
		{connector.Channel, map[string]string{"wait_ms": "0"}, "wait_ms is 0"},
		{connector.Channel, map[string]string{"pool_size": "2", "exclusive": "true"}, "exclusive needs a pool_size of 1"},
		{connector.Channel, map[string]string{"backout_queue": `"ORDERS"`}, "backout_queue is the queue itself"},
		{connector.Channel, map[string]string{"backout_queue": `"A"`, "dead_letter": `"B"`}, "mean the same, but differ"},
		{connector.Channel, map[string]string{"backout_threshold": "3", "max_attempts": "4"}, "backout_threshold is 3 and max_attempts 4"},
		{connector.Channel, map[string]string{"backout_threshold": "0"}, "backout_threshold is 0"},
		{connector.Channel, map[string]string{"max_message_bytes": "200000000"}, "max_message_bytes is 200000000"},
		{connector.Channel, map[string]string{"reply_to": `"A"`}, "reply_to is no field of channel"},
		{connector.Outgoing, map[string]string{"wait_ms": "10"}, "wait_ms is no field of outgoing"},
		{connector.Outgoing, map[string]string{"priority": "10"}, "priority is 10"},
		{connector.Outgoing, map[string]string{"delivery_mode": "3"}, "delivery_mode is 3"},
		{connector.Outgoing, map[string]string{"expiration": `"soon"`}, "expiration must be a number of milliseconds"},
		{connector.Outgoing, map[string]string{"reply_to": `"@QM2"`}, "reply_to names a queue manager, but no queue"},
	} {
		_, err := decodeWith(test.role, test.changes)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v, want %q", test.changes, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("shows the password: %v", err)
		}
	}
}
