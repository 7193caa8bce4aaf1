package ibmmq

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"zatoha/connectorhost/connector"
)

func TestReasonsChooseBehaviour(t *testing.T) {
	for code, want := range map[int32]error{
		2009: connector.ErrNotConnected, // connection broken
		2059: connector.ErrNotConnected, // queue manager not available
		2161: connector.ErrNotConnected, // quiescing
		2202: connector.ErrNotConnected,
		2537: connector.ErrNotConnected, // channel not available
		2538: connector.ErrNotConnected, // host not available
		2003: connector.ErrBackOff,      // backed out
		2016: connector.ErrBackOff,      // get inhibited
		2051: connector.ErrBackOff,      // put inhibited
		2053: connector.ErrBackOff,      // queue full
		2042: connector.ErrHeld,         // object in use
		2035: connector.ErrRefused,      // not authorized
		2058: connector.ErrRefused,      // wrong queue manager
		2085: connector.ErrRefused,      // unknown queue
		2393: connector.ErrRefused,      // TLS
		2540: connector.ErrRefused,      // unknown channel
		2030: connector.ErrUnfit,        // too big
		2298: connector.ErrDefinition,
		9999: connector.ErrNotConnected, // whatever it is
	} {
		err := classify("MQGET", code)
		if !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if !strings.HasPrefix(err.Error(), "MQGET: ") || !strings.Contains(err.Error(), strconv.Itoa(int(code))) {
			t.Errorf("%d: says %q", code, err)
		}
	}
}

func TestEveryReasonHasANameAndAClass(t *testing.T) {
	names := map[string]int32{}
	for code, r := range reasons {
		if !strings.HasPrefix(r.name, "MQRC_") || r.class == nil {
			t.Errorf("%d: %+v", code, r)
		}
		if other, taken := names[r.name]; taken {
			t.Errorf("%d and %d are both %s", code, other, r.name)
		}
		names[r.name] = code
	}
	if _, there := reasons[rcNoMsgAvailable]; there {
		t.Error("MQRC_NO_MSG_AVAILABLE is no fault")
	}
}

func TestOnlySomeCommitsHaveAnUnknownOutcome(t *testing.T) {
	for code, unknown := range map[int32]bool{
		rcConnectionBroken: true, 2161: true, 2162: true, 2195: true, 2203: true, rcOutcomeMixed: true, rcOutcomePending: true,
		rcBackedOut: false, 2018: false,
	} {
		err := commitFailed(code)
		if errors.Is(err, connector.ErrNotConnected) != (code != rcBackedOut) {
			t.Errorf("%v: only a unit of work that was backed out leaves the connection as it was", err)
		}
		if got := strings.Contains(err.Error(), "outcome is unknown"); got != unknown || outcomeUnknown(code) != unknown {
			t.Errorf("%v, want unknown %v", err, unknown)
		}
	}
}

func TestAFailedMQBACKEndsTheConnection(t *testing.T) {
	for code := range reasons {
		if err := backOutFailed(code); !errors.Is(err, connector.ErrNotConnected) {
			t.Errorf("%v", err)
		}
	}
}

func TestAnUnconvertedMessageIsAMessage(t *testing.T) {
	for code, want := range map[int32]bool{2110: true, 2119: true, rcConvertedTooBig: false, rcNone: false, rcNoMsgAvailable: false, rcTruncatedFailed: false} {
		if harmless(code) != want {
			t.Errorf("%d: %v", code, !want)
		}
	}
}
