// Package architecture is a test: it reads every Go file of the repository, and fails where one breaks the rules by
// which the parts stay apart.
//
// Imports run one way, along these arrows and no others:
//
//	lb             -> haproxy, consul, deploy/program
//	server         -> consul, deploy/program
//	server/outgoing -> connectorhost/zmtp, zmq, connector: the libraries by which also servers use ZeroMQ
//	connectorhost  -> consul, deploy/program
//	haproxy        -> client-native, which nobody else sees
//	consul         -> deploy/program/secretfile, and consul/api, which nobody else sees
//	server/front   -> fasthttp, which nobody else sees
//	connectorhost/zmtp -> go-zeromq/zmq4, which nobody else sees
//	connectorhost/ibmmq -> mq-golang, which nobody else sees
//	deploy, bench  -> each other; they run the programs, they do not import them
//	bench/feed     -> connectorhost/zmtp: it sends messages as a team's own program would
//	bench/takeover -> server: its recorder is a server like that of any team
//	deploy/edge    -> haproxy, lb/address, deploy/program: it writes haproxy.cfg, judges as a load balancer does, and yields as one
//	deploy/program -> nothing of ours
//
// No program imports another, nor any package of its tree but those that are named here. What decides is pure: lb/state,
// server/service, server/channel, server/invoke and connectorhost/connector import the standard library and nothing
// else, but for deploy/program/secretfile, which reads a secret's file, and imports the standard library alone too. Tests
// may also start a Consul by deploy/consultest, and a RabbitMQ by deploy/rabbittest, and look for the programs that they
// run by deploy/tools/find.
//
// One case: somebody formats a Consul error in lb/state with the help of consul/api. `go test ./deploy/architecture`
// then says "lb/state/diff.go imports github.com/hashicorp/consul/api", once under the rule that lb/state is pure and
// once under the rule that only consul/ knows Consul's client.
//
// The rules are the table in architecture_test.go. They look at each file as it stands, also at those that are left out
// of a default build by a build tag, which `go list` does not show.
package architecture
