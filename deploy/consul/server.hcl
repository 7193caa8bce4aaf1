# Policy of the token of a server, for the cluster "main": everything that it asks of Consul, and nothing else.
# `go run ./deploy/consul --acl …` makes it and the token; by hand:
#
#   consul acl policy create -name zatoha-server -rules @server.hcl
#   consul acl token create -description "zatoha: server" -policy-name zatoha-server
#
# Give the token by --consul-http-token-file, or CONSUL_HTTP_TOKEN. By hand, replace "main" in the keys for another
# cluster, and "zato-server" for another --service. Each run with --acl sets the policy that it made back to this file,
# as it was when the program was built: for another --service, edit it in the source, and always run the program from
# there.

# It registers itself, sets itself into maintenance when it leaves, and looks itself up when it starts.
service "zato-server" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}

# Its channels.
key_prefix "zato/main/channels/" {
  policy = "read"
}

# It waits there for the load balancer's acknowledgement, and removes an earlier one.
key_prefix "zato/main/drained/" {
  policy = "write"
}

# Which connector host may act: by the epoch in the key that they compete for, which a server only reads. It sends messages
# to brokers through the active host, and by ZeroMQ itself.
key "zato/main/connector-server" {
  policy = "read"
}
service "zato-connectorhost" {
  policy = "read"
}
key_prefix "zato/main/connectors/" {
  policy = "read"
}
