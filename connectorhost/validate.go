package main

import (
	"fmt"
	"os"
	"strings"

	"zatoha/deploy/program"
)

// validateCommand checks one definition.
type validateCommand struct {
	File string `arg:"" help:"File with the definition, as it would stand in the key."`
}

// Run prints what the file defines.
func (v *validateCommand) Run() error {
	text, err := os.ReadFile(v.File)
	if err != nil {
		return program.BadConfig("", err.Error(), "give a file that can be read")
	}
	definition, err := parse(text, "")
	if err != nil {
		return program.BadConfig(v.File, strings.ReplaceAll(err.Error(), "\n", "; "), "")
	}
	state := "active"
	switch {
	case !definition.active:
		state = "not active"
	case definition.about.InServers:
		state = "active, run by the servers and not by connector hosts"
	}
	fmt.Printf("%s: connector %s of kind %s, %s\n", v.File, definition.Name, definition.Kind, state)
	return nil
}
