# Policy of the token of a load balancer's controller, for the cluster "main": everything that it asks of Consul, and
# nothing else. `go run ./deploy/consul --acl …` makes it and the token; by hand:
#
#   consul acl policy create -name zatoha-lb -rules @lb.hcl
#   consul acl token create -description "zatoha: lb" -policy-name zatoha-lb
#
# Give the token by --consul-http-token-file, or CONSUL_HTTP_TOKEN. By hand, replace "main" in the keys for another
# cluster, and "zato-server" for another --service. Each run with --acl sets the policy that it made back to this file,
# as it was when the program was built: for another --service, edit it in the source, and always run the program from
# there.

# Whom it balances, and whom its status page shows. Instances of a node that may not be read are left out of Consul's
# answers, which counts as an error, not as a removal.
service "zato-server" {
  policy = "read"
}
service "zato-connectorhost" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}

# It registers itself.
service "zato-lb" {
  policy = "write"
}

# It tells the other load balancers of the cluster what it has applied.
key_prefix "zato/main/lb/" {
  policy = "write"
}

# It acknowledges to servers that leave.
key_prefix "zato/main/drained/" {
  policy = "write"
}

# Which connector host is active, for the status page.
key "zato/main/connector-server" {
  policy = "read"
}
