# OPTIONAL. Notices a dead machine in less than a second, where Consul's defaults take five to eight. It matters to connectors
# alone: servers and HAProxy leave rotation by HAProxy's own checks, but while the machine of the active connector host
# is not known to be dead nobody may take over. All agents of the datacenter must have the same values.
#
# The price: about five times the gossip (some KB/s for each machine), and a machine that answers nobody for 0.8 s, because
# it is overloaded, paused or migrated, counts as dead, so that its instances turn critical and its connectors move. Leave this out where machines pause so long. Across data centres with more than 50 ms between them, too.
gossip_lan {
  gossip_interval = "100ms" # default 200ms
  gossip_nodes    = 4       # default 3
  probe_interval  = "250ms" # default 1s: each agent asks one other, so often
  probe_timeout   = "150ms" # default 500ms: how long it waits for the answer before it asks others to try
  suspicion_mult  = 2       # default 4: a suspect has this many probe intervals, times the logarithm of the members, to object
}
