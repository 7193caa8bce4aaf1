# A Consul server: three of them, on three machines, are one that does not fail. Any two are a quorum.

server = true

ui_config {
  enabled = true
}

# Elections and failovers as fast as on a good network they can be. The default, 5, is for machines that are slow or
# small: with it a new leader takes five times as long, during which nothing can be written.
performance {
  raft_multiplier = 1
}

# Operators, and the command that sets the tokens up, reach the servers from elsewhere.
addresses {
  https = "0.0.0.0"
}

# A dead server is not forgotten before another one has taken its place.
autopilot {
  cleanup_dead_servers      = true
  last_contact_threshold    = "200ms"
  min_quorum                = 3
  server_stabilization_time = "10s"
}
