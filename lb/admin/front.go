package admin

// closed says whether nobody can connect, though HAProxy runs: somebody has stopped its front.
func (s *Status) closed() bool { return s.HAProxy.Frontend.Closed() }

// full says who has to wait, if the front has as many connections as it may have.
func (s *Status) full() string {
	if !s.HAProxy.Full {
		return ""
	}
	return "The front is full: " + plural(s.HAProxy.Frontend.Sessions, "client is", "clients are") + " connected"
}
