// Command standin builds a stand-in for IBM's MQ client library, so that zatoha's IBM MQ connectors, and the real
// mq-golang below them, can be compiled and tested on a machine that has nothing of IBM's:
//
//	eval "$(go run ./connectorhost/ibmmq/standin bin/mqi)" && go test -tags ibmmq ./connectorhost/ibmmq/...
//
// It makes, in a folder of its own below bin/mqi,
//
//   - inc/cmqc.h and its companions: the constants out of mq-golang's own Go files, the structures out of the package
//     layout, the calls of the MQI;
//   - lib64/libmqm_r.so: c/mqi.c, which hands the calls on to a test queue manager (connectorhost/ibmmq/testqm).
//
// It prints CGO_CFLAGS and CGO_LDFLAGS for a shell. The library is found by rpath; nothing is installed, and /opt/mqm is
// never touched. The folder's name is a hash of what it was made of, because Go's build cache does not look into headers.
//
// The stand-in follows the published MQI. It is no proof that IBM MQ behaves alike. A test compares the constants and the
// layout of every structure with IBM's own headers, where npm can fetch them.
package main
