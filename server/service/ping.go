package service

const (
	pingBeforeCID = `{"zato_env": {"details": "", "result": "ZATO_OK", "cid": "`
	pingAfterCID  = `"}, "zato_ping_response": {"pong": "zato"}}`
)

// ping answers monitors and health checks, whatever they send. Its bytes are a contract, spaces included, so they are
// spelt out; and it is called all the time, so they are put together in one allocation.
func ping(_ *Context, request Request) (Response, error) {
	payload := make([]byte, 0, len(pingBeforeCID)+len(request.CID)+len(pingAfterCID))
	payload = append(payload, pingBeforeCID...)
	payload = append(payload, request.CID...)
	payload = append(payload, pingAfterCID...)
	return Response{Payload: payload}, nil
}
