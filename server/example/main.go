// Program example is a server with a service of its own, in a module of its own. It greets whom it is asked to:
//
//	go run . --channels '[{"name": "greet", "method": "POST", "path": "/greet", "service": "example.greet"}]'
//	curl -d '{"name": "Ada"}' http://127.0.0.1:17010/greet
package main

import (
	"os"
	"zatoha/server"
	"zatoha/server/service"
)

type guest struct {
	Name string `json:"name" required:"true"`
}

func greet(_ *service.Context, in guest) (map[string]string, error) {
	return map[string]string{"greeting": "Hello, " + in.Name + "!"}, nil
}

func main() {
	os.Exit(server.Main(service.NewRegistry().MustAdd("example.greet", service.JSON(greet))))
}
