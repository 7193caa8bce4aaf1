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

# A dead server is forgotten as soon as another one has taken its place, and not before: min_quorum, which is how many there
# shall be, is in 90-node.hcl. So one that is cut off for a while keeps its vote, and follows the leader again seconds after
# it can. Without min_quorum it is put out within ten seconds, and when it is back, it waits to be found, for up to half a
# minute, and then to be given a vote. If a dead one were never forgotten, it would count on: of four servers of which one
# is dead for good, the next death leaves two, and those are no quorum.
#
# Consul reads this when the datacenter begins, and not again: `consul operator autopilot set-config` changes it later.
autopilot {
  cleanup_dead_servers      = true
  last_contact_threshold    = "200ms"
  server_stabilization_time = "10s"
}
