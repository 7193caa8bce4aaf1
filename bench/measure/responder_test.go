package measure

import (
	"net"
	"net/http"
	"testing"
	"time"
)

func TestAResponderAnswersAndEnds(t *testing.T) {
	var paths []string
	r, err := newResponder(func(path string, _ time.Time) { paths = append(paths, path) })
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	for _, path := range []string{"/a", "/b?c"} {
		answer, err := client.Get("http://" + r.address() + path)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Error(answer.Status)
		}
	}
	idle, err := net.Dial("tcp", r.address())
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	r.close()
	if len(paths) != 2 || paths[0] != "/a" || paths[1] != "/b?c" {
		t.Error(paths)
	}
}
