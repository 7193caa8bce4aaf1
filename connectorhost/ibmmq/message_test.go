package ibmmq

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"zatoha/connectorhost/connector"
)

func TestAnIDReturns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		identifier := rapid.SliceOfN(rapid.Byte(), idLength, idLength).Draw(t, "identifier")
		id, stable := nameOf(identifier)
		if stable && string(identifierOf(id)) != string(identifier) {
			t.Fatalf("%x is named %s, which is %x", identifier, id, identifierOf(id))
		}
		text := rapid.String().Draw(t, "text")
		first, again := identifierOf(text), identifierOf(text)
		if len(first) != idLength || string(first) != string(again) {
			t.Fatalf("%q is %x, then %x", text, first, again)
		}
		if name, stable := nameOf(first); !stable || string(identifierOf(name)) != string(first) {
			t.Fatalf("%q is %x, whose name %s is not", text, first, name)
		}
	})
}

func TestAMessageWithoutAnIDHasARandomName(t *testing.T) {
	first, stable := nameOf(make([]byte, idLength))
	second, _ := nameOf(make([]byte, idLength))
	if stable || first == second {
		t.Errorf("%s and %s, stable: %v", first, second, stable)
	}
}

func TestWhatIsSent(t *testing.T) {
	_, s := settingsOf(t, connector.Outgoing, map[string]string{
		"expiration": `"5000"`, "reply_to": `"ANSWERS"`, "max_message_bytes": "100",
	})
	out, err := s.sending(connector.Message{ID: "order-1", Body: []byte("x"), ContentType: "application/json; charset=utf-8"})
	if err != nil || out.format != "MQSTR" || !out.isText || out.expiry != 50 || out.replyTo != "ANSWERS" || !out.persistent {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = s.sending(connector.Message{ID: "1", ContentType: "application/octet-stream", Properties: map[string]string{
		"format": "MQHRF2", "correlation_id": strings.Repeat("ab", idLength), "reply_to": "OTHER@QM9", "expiration": "", "unknown": "x",
	}})
	if err != nil || out.format != "MQHRF2" || out.isText || out.expiry != noExpiry || out.replyTo != "OTHER" || out.replyToQMgr != "QM9" ||
		hex.EncodeToString(out.correlation) != strings.Repeat("ab", idLength) {
		t.Errorf("%+v, %v", out, err)
	}
	for want, m := range map[string]connector.Message{
		"101 bytes":              {Body: make([]byte, 101)},
		"expiration is \"soon\"": {Properties: map[string]string{"expiration": "soon"}},
		"format":                 {Properties: map[string]string{"format": "MUCHTOOLONG"}},
		"names":                  {Properties: map[string]string{"reply_to": strings.Repeat("Q", 49)}},
	} {
		if _, err := s.sending(m); !errors.Is(err, connector.ErrUnfit) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestAParkedMessageSaysWhy(t *testing.T) {
	_, s := settingsOf(t, connector.Channel, nil)
	all := map[string]string{}
	for _, p := range s.parked("orders", origin{user: "joe", put: "20260101", expiry: 7}, connector.Outcome{Reason: strings.Repeat("é", 999), Attempts: 3}) {
		all[p.name] = p.value
	}
	if len(all[propertyReason]) > maxReason || all[propertyAttempts] != "3" || all[propertyConnector] != "orders" || all[propertyQueue] != "ORDERS" ||
		all[propertyService] != "order.new" || all[propertyUser] != "joe" || all[propertyPut] != "20260101" || all[propertyExpiry] != "7" {
		t.Errorf("%q", all)
	}
}
