// Program server is the stock server: it runs the built-in services. A team that has services of its own writes the same
// few lines with a registry that has them: see package server, and the module in server/example.
package main

import (
	"os"

	"zatoha/server"
	"zatoha/server/service"
)

func main() { os.Exit(server.Main(service.NewRegistry())) }
