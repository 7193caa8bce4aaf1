package ibmmq

import (
	"fmt"

	"zatoha/connectorhost/connector"
)

// reason is what is known of one of the reason codes by which the MQI says why a call failed.
type reason struct {
	name  string // MQRC_…
	class error  // which chooses what the connector does
	hint  string // what somebody can do about it; empty if the name says all
}

// The reason codes that are looked for by number.
const (
	rcNone             = 0
	rcBackedOut        = 2003
	rcConnectionBroken = 2009
	rcBadConnection    = 2018
	rcNoMsgAvailable   = 2033
	rcNotAuthorized    = 2035
	rcTruncatedFailed  = 2080
	rcConvertedTooBig  = 2120
	rcOutcomeMixed     = 2123
	rcOutcomePending   = 2124
)

// reasons has the codes that are to be expected. Any other counts as a lost connection: a new one is a fresh start.
//
// not connected: connect again. refused: again, but rarely, because somebody must do something. back off: the same
// connection, a little later. held: ask again soon. unfit: this message never. definition: this connector never.
var reasons = map[int32]reason{
	rcConnectionBroken: {"MQRC_CONNECTION_BROKEN", connector.ErrNotConnected, ""},
	rcBadConnection:    {"MQRC_HCONN_ERROR", connector.ErrNotConnected, ""},
	2019:               {"MQRC_HOBJ_ERROR", connector.ErrNotConnected, ""},
	2025:               {"MQRC_MAX_CONNS_LIMIT_REACHED", connector.ErrNotConnected, "raise the limit of connections, or look who holds them"},
	2041:               {"MQRC_OBJECT_CHANGED", connector.ErrNotConnected, ""},
	2052:               {"MQRC_Q_DELETED", connector.ErrNotConnected, ""},
	2059:               {"MQRC_Q_MGR_NOT_AVAILABLE", connector.ErrNotConnected, "see whether the queue manager runs, and whether host and port are its listener's"},
	2161:               {"MQRC_Q_MGR_QUIESCING", connector.ErrNotConnected, ""},
	2162:               {"MQRC_Q_MGR_STOPPING", connector.ErrNotConnected, ""},
	2195:               {"MQRC_UNEXPECTED_ERROR", connector.ErrNotConnected, "look into the queue manager's error log"},
	2202:               {"MQRC_CONNECTION_QUIESCING", connector.ErrNotConnected, ""},
	2203:               {"MQRC_CONNECTION_STOPPING", connector.ErrNotConnected, ""},
	2273:               {"MQRC_CONNECTION_ERROR", connector.ErrNotConnected, ""},
	2528:               {"MQRC_CONNECTION_STOPPED", connector.ErrNotConnected, ""},
	2537:               {"MQRC_CHANNEL_NOT_AVAILABLE", connector.ErrNotConnected, "see whether the channel is stopped, or its MAXINST or MAXINSTC reached"},
	2538:               {"MQRC_HOST_NOT_AVAILABLE", connector.ErrNotConnected, "see whether host and port are right, and a listener runs there"},
	2543:               {"MQRC_STANDBY_Q_MGR", connector.ErrNotConnected, "name the active instance's host too"},

	rcBackedOut: {"MQRC_BACKED_OUT", connector.ErrBackOff, "the queue manager has undone the unit of work"},
	2016:        {"MQRC_GET_INHIBITED", connector.ErrBackOff, "ALTER QLOCAL(…) GET(ENABLED)"},
	2024:        {"MQRC_SYNCPOINT_LIMIT_REACHED", connector.ErrBackOff, "raise MAXUMSGS"},
	2051:        {"MQRC_PUT_INHIBITED", connector.ErrBackOff, "ALTER QLOCAL(…) PUT(ENABLED)"},
	2053:        {"MQRC_Q_FULL", connector.ErrBackOff, "see who should empty the queue, or raise MAXDEPTH"},
	2056:        {"MQRC_Q_SPACE_NOT_AVAILABLE", connector.ErrBackOff, "make room on the queue manager's disk"},
	2071:        {"MQRC_STORAGE_NOT_AVAILABLE", connector.ErrBackOff, ""},
	2102:        {"MQRC_RESOURCE_PROBLEM", connector.ErrBackOff, ""},
	2192:        {"MQRC_STORAGE_MEDIUM_FULL", connector.ErrBackOff, "make room on the queue manager's disk"},
	2219:        {"MQRC_CALL_IN_PROGRESS", connector.ErrBackOff, ""},

	2042: {"MQRC_OBJECT_IN_USE", connector.ErrHeld, "somebody has the queue open for input; DISPLAY QSTATUS(…) TYPE(HANDLE) says who"},

	rcNotAuthorized: {"MQRC_NOT_AUTHORIZED", connector.ErrRefused, "see user and password, the channel's authentication records, and who may use the queue (SET AUTHREC)"},
	2010:            {"MQRC_DATA_LENGTH_ERROR", connector.ErrRefused, "a message is longer than the channel's MAXMSGL: raise that"},
	2045:            {"MQRC_OPTION_NOT_VALID_FOR_TYPE", connector.ErrRefused, "it is not the kind of queue that this needs: only local queues, and aliases of them, can be read"},
	2057:            {"MQRC_Q_TYPE_ERROR", connector.ErrRefused, ""},
	2058:            {"MQRC_Q_MGR_NAME_ERROR", connector.ErrRefused, "queue_manager is not the name of the one at host and port"},
	2063:            {"MQRC_SECURITY_ERROR", connector.ErrRefused, ""},
	2068:            {"MQRC_SELECTOR_NOT_FOR_TYPE", connector.ErrRefused, "an alias has no BOQNAME: name backout_queue in the definition"},
	2072:            {"MQRC_SYNCPOINT_NOT_AVAILABLE", connector.ErrRefused, ""},
	2082:            {"MQRC_UNKNOWN_ALIAS_BASE_Q", connector.ErrRefused, "the alias names a queue that does not exist"},
	2085:            {"MQRC_UNKNOWN_OBJECT_NAME", connector.ErrRefused, "define the queue, or correct its name"},
	2086:            {"MQRC_UNKNOWN_OBJECT_Q_MGR", connector.ErrRefused, ""},
	2087:            {"MQRC_UNKNOWN_REMOTE_Q_MGR", connector.ErrRefused, ""},
	2101:            {"MQRC_OBJECT_DAMAGED", connector.ErrRefused, "recover the queue (rcrmqobj)"},
	2217:            {"MQRC_CONNECTION_NOT_AUTHORIZED", connector.ErrRefused, ""},
	2381:            {"MQRC_KEY_REPOSITORY_ERROR", connector.ErrRefused, "see whether key_repository names a repository that can be read"},
	2392:            {"MQRC_SSL_CONFIG_ERROR", connector.ErrRefused, "see cipher_spec and key_repository"},
	2393:            {"MQRC_SSL_INITIALIZATION_ERROR", connector.ErrRefused, "see whether cipher_spec is the channel's SSLCIPH, and the certificates are trusted"},
	2396:            {"MQRC_SSL_NOT_ALLOWED", connector.ErrRefused, ""},
	2398:            {"MQRC_SSL_PEER_NAME_MISMATCH", connector.ErrRefused, "the queue manager's certificate is not of peer_name"},
	2399:            {"MQRC_SSL_PEER_NAME_ERROR", connector.ErrRefused, "peer_name cannot be understood"},
	2400:            {"MQRC_UNSUPPORTED_CIPHER_SUITE", connector.ErrRefused, "correct cipher_spec"},
	2401:            {"MQRC_SSL_CERTIFICATE_REVOKED", connector.ErrRefused, ""},
	2402:            {"MQRC_SSL_CERT_STORE_ERROR", connector.ErrRefused, ""},
	2539:            {"MQRC_CHANNEL_CONFIG_ERROR", connector.ErrRefused, ""},
	2540:            {"MQRC_UNKNOWN_CHANNEL_NAME", connector.ErrRefused, "define the channel (SVRCONN), or correct its name"},
	2577:            {"MQRC_CHANNEL_BLOCKED", connector.ErrRefused, ""},
	2594:            {"MQRC_PASSWORD_PROTECTION_ERROR", connector.ErrRefused, ""},

	2013: {"MQRC_EXPIRY_ERROR", connector.ErrUnfit, ""},
	2027: {"MQRC_MISSING_REPLY_TO_Q", connector.ErrUnfit, ""},
	2030: {"MQRC_MSG_TOO_BIG_FOR_Q", connector.ErrUnfit, "raise the queue's MAXMSGL"},
	2031: {"MQRC_MSG_TOO_BIG_FOR_Q_MGR", connector.ErrUnfit, "raise the queue manager's MAXMSGL"},
	2048: {"MQRC_PERSISTENT_NOT_ALLOWED", connector.ErrUnfit, "set delivery_mode to 1"},
	2050: {"MQRC_PRIORITY_ERROR", connector.ErrUnfit, ""},
	2218: {"MQRC_MSG_TOO_BIG_FOR_CHANNEL", connector.ErrUnfit, "raise the channel's MAXMSGL"},

	2298: {"MQRC_FUNCTION_NOT_SUPPORTED", connector.ErrDefinition, "the queue manager is too old: 7.1 or newer is needed"},
}

// classify makes of a failed call's reason the error that chooses behaviour. doing says what was being done.
func classify(doing string, code int32) error {
	known, there := reasons[code]
	switch {
	case !there:
		return fmt.Errorf("%s: %w: IBM MQ says %d (see mqrc %[3]d)", doing, connector.ErrNotConnected, code)
	case known.hint == "":
		return fmt.Errorf("%s: %w: %s (%d)", doing, known.class, known.name, code)
	}
	return fmt.Errorf("%s: %w: %s (%d): %s", doing, known.class, known.name, code, known.hint)
}

// commitFailed is classify for MQCMIT, after which it may be unknown whether the unit of work counts. Unless the queue
// manager has backed it out, the connection is given up, because the unit of work may still be open, and what came next
// would be committed or backed out together with it.
func commitFailed(code int32) error {
	err := classify("MQCMIT", code)
	if code != rcBackedOut {
		err = fmt.Errorf("%w: %w", connector.ErrNotConnected, err)
	}
	if outcomeUnknown(code) {
		return fmt.Errorf("%w: the outcome is unknown: the queue manager may have committed, or not", err)
	}
	return err
}

// backOutFailed is classify for MQBACK: the connection is given up, for the same reason.
func backOutFailed(code int32) error {
	return fmt.Errorf("%w: %w", connector.ErrNotConnected, classify("MQBACK", code))
}

// outcomeUnknown says whether a failed MQCMIT may have committed. Only a few reasons say that it has not.
func outcomeUnknown(code int32) bool {
	switch code {
	case rcBackedOut, rcBadConnection, 2219:
		return false
	}
	return true
}

// harmless are the warnings of an MQGET that has got the message all the same, only without converting all of its text.
func harmless(code int32) bool {
	switch code {
	case 2110, 2111, 2112, 2113, 2114, 2115, 2116, 2117, 2118, 2119, 2190, 2272:
		return true
	}
	return false
}
