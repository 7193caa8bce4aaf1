// Package ibmmq is the kind "ibmmq": channels and outgoing connectors over IBM MQ, by mq-golang and IBM's C client.
//
// It is tested against a stand-in for IBM's client library, written by us after the published MQI, and against a test
// queue manager that is ours too. It has never been run against IBM MQ itself. The same tests run against a real queue
// manager if IBMMQ_HOST names one (see the package mqi): run them before you rely on this.
//
// IBM's client is not free software that could be shipped. A program has the kind if it is built with cgo, with the build
// tag ibmmq, where IBM's client with its SDK is installed in /opt/mqm:
//
//	CGO_ENABLED=1 go build -tags ibmmq -o bin/ ./connectorhost
//
// Any other program knows the definitions, and checks them, but every connector of the kind fails at once, and says this.
//
// One case, walked through. A channel is to consume from the queue ORDERS:
//
//	{"name": "orders", "kind": "ibmmq", "role": "channel", "service": "order.new", "max_attempts": 3,
//	 "queue_manager": "QM1", "channel": "ZATOHA.SVRCONN", "host": "mq1", "queue": "ORDERS",
//	 "user": "zatoha", "password": "${file:/etc/zatoha/mq-password}"}
//
// [connector.Run] asks for a source. It connects, sees that the queue is there, and opens the queue for parked messages,
// the one that BOQNAME names unless backout_queue does. Then it opens ORDERS with MQOO_INPUT_EXCLUSIVE, so that nobody
// else can read it, and gets: MQGET under syncpoint, which waits wait_ms, because it cannot be called back, and again. A
// message whose service succeeded is committed. One whose service failed is backed out: it returns to its place in the
// queue, and the queue manager counts that, in the message's backout count. After max_attempts (or backout_threshold,
// which is the same) it is put to the backout queue, as it was, with the reason in the property zatoha_reason, and that
// and its MQGET are committed together: it is never in both queues, and never in none.
//
// # Fields
//
// All: queue_manager, channel (of type SVRCONN), host (several with commas between them, for a multi-instance queue
// manager), port (1414), queue, user, password, max_message_bytes (4 MiB), pool_size (1), and for TLS cipher_spec,
// key_repository, key_repository_password, certificate_label, peer_name. Channels: wait_ms (50), exclusive (true if
// pool_size is 1), backout_queue or dead_letter (BOQNAME), backout_threshold or max_attempts (5). Outgoing connectors:
// delivery_mode (2, persistent, or 1), priority (the queue's), expiration (in milliseconds, as a text), reply_to (QUEUE
// or QUEUE@QUEUE.MANAGER). A message that is sent may have its own format, correlation_id, reply_to and expiration, as
// properties. Bodies of a text's media type are sent as MQSTR in UTF-8; what comes as text is converted to UTF-8, or,
// where that cannot be, comes as it is, and its character set is in the property ccsid.
//
// # What has to be there
//
// The user needs, on the queue manager, connect (and inq: without it an idle outgoing connector does not notice that the
// queue manager is gone); on a channel's queue get and inq; on the backout queue put; on an outgoing connector's queue
// put. The backout queue must exist: nothing is declared. A BOTHRESH on the queue is not looked at.
//
// # How attempts are counted
//
// By the backout count, which survives the end of this process, and, for persistent messages on a queue with HARDENBO
// where that matters (z/OS), of the queue manager. Each loss of a connection with the message in hand counts as an
// attempt, because one may have been made; the service is then called with it fewer times, never more, but at least once
// more. While its service is not reached, a message stays in hand, in an open unit of work, and nothing is counted. A
// queue manager that runs out of log may end such a unit of work; then the message comes again.
//
// # Names of messages
//
// A message's name is its MsgId, in hexadecimal: 48 digits. The other way round an ID of 48 hexadecimal digits is the
// MsgId of what is sent; any other ID is made into one by SHA-256, always the same for the same ID.
//
// # Connections
//
// A unit of work belongs to a connection, so there are as many connections as messages may be in flight: pool_size, one
// unless set. With one, the order of the queue is kept and the hold is exclusive; with more, neither. With one, a lost
// connection is noticed when the message in hand is settled, not before.
//
// # The exclusive hold
//
// MQOO_INPUT_EXCLUSIVE lasts until the queue manager knows that the connection is gone. When a process is killed it knows
// at once. When a host is cut off it takes as long as the channel's HBINT lets it, 300 seconds by default: set HBINT(5).
// Whoever waits for the hold keeps its connection, and says so in its state.
//
// # Sending
//
// MQPUT and MQCMIT. When MQCMIT fails because the connection is lost, nobody knows whether the message was sent, and the
// error says so. Send it again with the same ID: it has the same MsgId then.
//
// # What a hung library does
//
// No call into IBM's library can be cancelled. Each is bounded; one that takes longer is left alone, with its connection,
// and a new connection is made. When it comes back after all, its unit of work is backed out, and the connection ended.
// MQBACK always comes before MQDISC, which alone would commit; while MQBACK fails on a connection that is not broken,
// there is no MQDISC. After an MQCMIT or MQBACK that failed, nothing else is done on that connection. The library's own
// reconnection is not used.
package ibmmq
