package freeport

import (
	"net"
	"strconv"
	"testing"
)

func TestNobodyGetsAPortTwice(t *testing.T) {
	given := map[int]bool{}
	take := func(ports []int, err error) {
		if err != nil {
			t.Fatal(err)
		}
		for _, port := range ports {
			if given[port] {
				t.Errorf("port %d is given again", port)
			}
			given[port] = true
			listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				t.Fatal(err)
			}
			listener.Close()
		}
	}
	for range 20 {
		take(Some(3))
	}
	row, err := Row(5)
	take(row, err)
	for i, port := range row {
		if port != row[0]+i {
			t.Errorf("%v is no row", row)
		}
		if err := reserve(port); err == nil {
			t.Errorf("port %d is to be had by another process", port)
		}
	}
}
