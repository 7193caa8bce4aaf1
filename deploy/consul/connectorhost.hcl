# Policy of the token of a connector host, for the cluster "main": everything that it asks of Consul, and nothing else.
# `go run ./deploy/consul --acl …` makes it and the token; by hand:
#
#   consul acl policy create -name zatoha-connectorhost -rules @connectorhost.hcl
#   consul acl token create -description "zatoha: connectorhost" -policy-name zatoha-connectorhost
#
# Give the token by --consul-http-token-file, or CONSUL_HTTP_TOKEN. By hand, replace "main" in the keys for another
# cluster. Each run with --acl sets the policy that it made back to this file, as it was when the program was built.
# A session belongs to the node of the host's agent: where each host has a token of its own, by a policy of its own
# that was made by hand, name that node instead of all, like this: session "web-1" { policy = "write" }

# The lease: which host is the active one, and since when.
key "zato/main/connector-server" {
  policy = "write"
}

# The traces of its beats, by which the others know when it has stopped.
key "zato/main/connector-server-beat" {
  policy = "write"
}

# The definitions of the connectors.
key_prefix "zato/main/connectors/" {
  policy = "read"
}

# The lock of the lease is a session.
session_prefix "" {
  policy = "write"
}

# Each host registers itself, and passes its own checks.
service "zato-connectorhost" {
  policy = "write"
}

# Whoever takes the lease over looks at the last holder's check, which says whether that one has stopped. Without this,
# each takeover takes one TTL longer.
node_prefix "" {
  policy = "read"
}
