// Package amqp is the kind "amqp": channels and outgoing connectors over AMQP 0-9-1, made for RabbitMQ.
//
// One case, walked through. A channel is to consume from the queue orders. [connector.Run] asks for a source, which
// dials, opens pool_size AMQP channels with prefetch_count each, and sees that the queue is there, and one for parked
// messages, orders.dead-letter unless dead_letter names another; if that is missing, then or later, it is declared,
// durable. Then it consumes, with manual acknowledgement. A message whose service succeeded is acknowledged. One whose
// service failed is tried again; after max_attempts it is published to orders.dead-letter, as it was, with the reason in
// the header x-zatoha-reason, and only when the broker has confirmed that, acknowledged. If we die in between it is in
// both places; it is never in none.
//
// # Fields
//
// Of both roles:
//
//	url                  amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps:// with ?cacertfile=…&certfile=…&keyfile=… and
//	                     &server_name_indication=… if need be. References such as ${env:NAME} are escaped when put in
//	heartbeat            5; seconds, 1 to 60. The broker is given up after three
//	pool_size            1; AMQP channels, each with a consumer or a publisher
//	max_message_bytes    16 MiB; a larger message is parked at once, or not sent. So is, of a channel, one that is larger
//	                     than the servers' --max-body-bytes (10 MiB)
//
// Of channels:
//
//	queue                must be there
//	queue_type           classic, or quorum, which counts attempts durably (below)
//	prefetch_count       20; messages in flight for each of the pool. Order is kept if there is only one in all
//	exclusive            false; only one consumer, by the broker (below)
//	single_active        false; as the queue was declared (below)
//	consumer_tag_prefix  zatoha-NAME; the tag goes on with host and process
//	dead_letter          QUEUE.dead-letter; a queue, which is declared if it is missing, or exchange:NAME, to which
//	                     messages go with their own routing key
//
// Of outgoing connectors:
//
//	exchange             the default one, for which routing_key is the queue's name
//	routing_key          unless a message has one of its own
//	delivery_mode        2, persistent, or 1
//	confirm              true; without it nobody knows whether the broker has a message
//	mandatory            true; a message that no queue takes is refused to its sender
//	priority, content_type, content_encoding, expiration (milliseconds, as a text), user_id, app_id
//
// A message that is sent may have properties of its own: routing_key, correlation_id, reply_to, type, expiration,
// content_type, content_encoding, app_id, message_id, and header.NAME.
//
// A parked message has, beside its own headers, x-zatoha-reason, -attempts, -connector, -service, -queue, -exchange,
// -routing-key and -parked; its expiration and user-id, which it cannot keep, are in x-zatoha-expiration and -user-id.
//
// # How attempts are counted
//
// On a quorum queue (queue_type "quorum") with more than one message in flight, a failed message goes back to the broker,
// which counts its deliveries durably, in x-delivery-count. The count is exact as long as no connection is lost with the
// message in hand. Each loss counts as one attempt, because one may have been made: the service is then called with it
// fewer times, never more. Such a queue needs no delivery-limit; one that is set must not be below max_attempts, or the
// broker is the first to take the message away. From RabbitMQ 4.0 on a queue has one of 20, unless it was declared with
// another, or with -1.
//
// On a classic queue, and wherever order is kept (pool_size 1 and prefetch_count 1), a failed message stays in hand for
// the next attempt: RabbitMQ would put it at the end of a quorum queue, and counts nothing on a classic one. The count is
// exact as long as no connection is lost with the message in hand. After that it begins again: at the broker's
// count of deliveries on a quorum queue, at 2 on a classic one, where the broker only tells that there was one before.
//
// Either way a message is only parked when its service has failed it, never because connections were lost, and when its
// service cannot be reached it stays in hand and nothing is counted. RabbitMQ takes a message back that is in hand for
// longer than its consumer_timeout, 30 minutes by default; that is a lost connection like any other.
//
// # Names of messages
//
// A message's name is its message-id property, if its publisher set one; it must then be the only message of that name,
// because somebody who sees it twice, with the redelivered flag, takes it for the same. A message without one gets a name
// for each delivery: it cannot be known again.
//
// # The exclusive hold
//
// With exclusive, the broker refuses a second consumer while it knows of a first; quorum queues cannot do that, which is
// tried out at the start. With single_active, which the queue must have been declared with (x-single-active-consumer,
// which the broker is asked about at the start), further consumers stand in line. Both hold for as long as the broker
// believes in the first consumer's connection: if its host was cut off, three heartbeats.
//
// # What a hung library or broker does
//
// Every call into the library is watched: when it takes too long, the socket is closed under it, which ends the
// connection and frees the call, and a new connection is made. Every notification channel is drained until it is closed.
// The library's own recovery is not used.
package amqp
