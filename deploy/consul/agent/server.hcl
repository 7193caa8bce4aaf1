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

# A dead server is forgotten as soon as another one has taken its place, and not before: min_quorum, how many servers there
# shall be, is in 90-node.hcl. One that is cut off for a while so keeps its vote, and is back within seconds; it would
# lack that for half a minute if it had to be taken in anew. One that is never forgotten counts on: of four servers of
# which one is dead for good, the next death leaves two, and those are no quorum.
#
# Consul reads this when the datacenter begins, and not again: `consul operator autopilot set-config` changes it later.
autopilot {
  cleanup_dead_servers      = true
  last_contact_threshold    = "200ms"
  server_stabilization_time = "10s"
}
