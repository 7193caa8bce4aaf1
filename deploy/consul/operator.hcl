# Policy of an operator's token, for the cluster "main": look at everything, define channels and connectors, set servers
# into maintenance. It can neither write the keys by which the programs agree with each other, nor change tokens.
#
# `go run ./deploy/consul --acl …` makes it and the token.

key_prefix "zato/main/" {
  policy = "read"
}
key_prefix "zato/main/channels/" {
  policy = "write"
}
key_prefix "zato/main/connectors/" {
  policy = "write"
}
service_prefix "" {
  policy = "read"
}
service "zato-server" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
session_prefix "" {
  policy = "read"
}
agent_prefix "" {
  policy = "read"
}
operator = "read"
