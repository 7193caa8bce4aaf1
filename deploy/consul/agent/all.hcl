# Every Consul agent of the datacenter, server or not. What differs from machine to machine, its name, addresses, keys and
# tokens, is in 90-node.hcl, which `go run ./deploy/consul` writes beside this file.

data_dir             = "/var/lib/consul"
disable_update_check = true
log_level            = "info"

# The API is there by TLS alone, and on the loopback address alone: each machine's programs talk to their own agent.
# Servers listen for operators too: see server.hcl.
ports {
  http     = -1
  https    = 8501
  grpc     = -1
  grpc_tls = -1
  dns      = -1
  serf_wan = -1 # this is the only datacenter
}
addresses {
  https = "127.0.0.1"
}

# Agents show each other certificates of the datacenter's own authority; only a server's certificate makes a server.
# Programs show no certificate to the API, but a token.
tls {
  defaults {
    verify_incoming = true
    verify_outgoing = true
  }
  internal_rpc {
    verify_server_hostname = true
  }
  https {
    verify_incoming = false
  }
}

# What no token allows is forbidden. A client agent that cannot ask the servers goes on by what it knew of a token, so
# that a lost quorum takes no rights away.
acl {
  enabled        = true
  default_policy = "deny"
  down_policy    = "extend-cache"
}

# Machines that start together find nobody at first. With Consul's default, 30s, a datacenter that had lost its power could
# be that much longer without a leader.
retry_interval = "1s"

# An agent that is restarted has not left: its node's services stay where they are meanwhile.
leave_on_terminate      = false
skip_leave_on_interrupt = true
