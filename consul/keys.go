package consul

import "github.com/hashicorp/consul/api"

// The tags of connector hosts, of which each has one.
const (
	ActiveTag  = "active" // it holds the lease, and runs the connectors
	StandbyTag = "standby"
)

// The metadata by which our instances say what they are, and how they want to be treated. Those of servers hold for
// instances that others have registered too.
const (
	VersionMeta  = "version"       // of the program
	ClusterMeta  = "cluster"       // of a connector host: which one it belongs to, as several may share one Consul
	EpochMeta    = "epoch"         // of the active connector host's tenure: of two that say they are active, the later one is
	ServicesMeta = "services_hash" // of a server: tells which services it runs
	ChannelsMeta = "channels"      // of a server: how many are active
	DrainMeta    = "drain"         // of a server, "true": it asks to leave rotation
	MaxConnMeta  = "maxconn"       // of a server: how many requests it can take at a time; 0 is no limit
)

// LeaseCheckPrefix begins the IDs of the checks that a connector host's lease has: another one for each process.
func LeaseCheckPrefix(hostID string) string { return "service:" + hostID + ":lease:" }

// ConnectorCheckPrefix begins the IDs of the checks by which the active host says how its connectors do.
func ConnectorCheckPrefix(hostID string) string { return "service:" + hostID + ":connector:" }

// MaintenanceCheck is the ID of the check that an instance has while it is in maintenance; its notes are the reason.
func MaintenanceCheck(serviceID string) string { return api.ServiceMaintPrefix + serviceID }

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
