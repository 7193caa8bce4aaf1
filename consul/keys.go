package consul

// DrainedKey is where a load balancer acknowledges, to an instance of this service ID that wants to leave, that it has
// drained it. Both sides and every operator know it as zato/<cluster>/drained/<service id>.
func DrainedKey(cluster, serviceID string) string {
	return clusterPrefix(cluster) + "drained/" + serviceID
}

// BalancersPrefix is where each load balancer of a cluster says, under its own service ID, what it has applied.
func BalancersPrefix(cluster string) string { return clusterPrefix(cluster) + "lb/" }

// ChannelsPrefix is where each HTTP channel of a cluster's servers is defined, under its own name.
func ChannelsPrefix(cluster string) string { return clusterPrefix(cluster) + "channels/" }

// ConnectorsPrefix is where the definitions of a cluster's connectors are, each under its name.
func ConnectorsPrefix(cluster string) string { return clusterPrefix(cluster) + "connectors/" }

// clusterPrefix is where the keys of a cluster are.
func clusterPrefix(cluster string) string { return "zato/" + cluster + "/" }
