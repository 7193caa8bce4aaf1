package main

import (
	"errors"
	"net/url"
	"os"
	"strings"

	"zatoha/deploy/program"
	"zatoha/deploy/program/secretfile"
	"zatoha/haproxy/remote"
)

// passwordVariable is where the password may stand. It is no flag: the command line of a process is open to everybody on
// its machine.
const passwordVariable = "ZATOHA_LB_DATAPLANE_PASSWORD"

// dataPlaneFlags name the Data Plane API of an HAProxy that somebody else runs.
type dataPlaneFlags struct {
	URL          string `name:"dataplane-url" placeholder:"URL" help:"Drive an HAProxy that somebody else runs, through its official Data Plane API 2.9: http(s)://host:port, without /v2. HAProxy is then neither started nor supervised here, and paths and addresses of the front are those of its machine; see README.md."`
	User         string `name:"dataplane-user" placeholder:"NAME" help:"User of the Data Plane API."`
	PasswordFile string `name:"dataplane-password-file" type:"path" placeholder:"FILE" help:"File with the user's password; another one in it counts at once. It may stand in the environment variable ZATOHA_LB_DATAPLANE_PASSWORD instead; it is no flag and no line of the --config file, and is never shown."`
	CA           string `name:"dataplane-ca" type:"path" placeholder:"FILE" help:"PEM file with the CA that signed the API's certificate, for an https URL. Default: the CAs that the system trusts."`
}

// check reports every flag that makes no sense beside the others.
func (d dataPlaneFlags) check() error {
	var faults []error
	refuse := func(bad bool, flag, what, remedy string) {
		if bad {
			faults = append(faults, program.BadConfig(flag, what, remedy))
		}
	}
	const alone, needsURL = "is of no use alone", "say where the API is by --dataplane-url, or leave it out"
	refuse(d.URL == "" && d.User != "", "--dataplane-user", alone, needsURL)
	refuse(d.URL == "" && d.PasswordFile != "", "--dataplane-password-file", alone, needsURL)
	refuse(d.URL == "" && d.CA != "", "--dataplane-ca", alone, needsURL)
	refuse(d.URL != "" && d.User == "", "--dataplane-user", "is missing", "name a user of the API at --dataplane-url")
	refuse(d.CA != "" && strings.HasPrefix(d.URL, "http:"), "--dataplane-ca", "is of no use for an http URL", "make --dataplane-url https, or leave it out")
	return errors.Join(faults...)
}

// exclude refuses a flag that is about an HAProxy of this machine.
func (d dataPlaneFlags) exclude(flag, value string) error {
	if d.URL == "" || value == "" {
		return nil
	}
	return program.BadConfig(flag, "is about an HAProxy of this machine, and --dataplane-url names another one", "leave one of the two out")
}

// config is what the flags say, with the password. changed is told when its file has another one, or none any more: see
// [secretfile.Keep].
func (d dataPlaneFlags) config(changed func(error)) (remote.Config, error) {
	password, err := d.password(changed)
	if err != nil {
		return remote.Config{}, err
	}
	return remote.Config{URL: d.URL, User: d.User, Password: password, CAFile: d.CA}, nil
}

func (d dataPlaneFlags) password(changed func(error)) (func() string, error) {
	const flag = "--dataplane-password-file"
	password := os.Getenv(passwordVariable)
	switch {
	case d.PasswordFile == "" && password == "":
		return nil, program.BadConfig(flag, "there is no password of the Data Plane API's user", "put it into a file and name that, or into the variable "+passwordVariable)
	case d.PasswordFile == "":
		return func() string { return password }, nil
	case password != "":
		return nil, program.BadConfig(flag, "the variable "+passwordVariable+" has a password too", "leave one of them out")
	}
	kept, err := secretfile.Keep(d.PasswordFile, oneLine, changed)
	if err != nil {
		return nil, program.BadConfig(flag, err.Error(), "name a file that this user may read, with the password in it, and nothing else")
	}
	return kept.Secret, nil
}

func oneLine(text string) (string, error) {
	if strings.ContainsAny(text, "\r\n") {
		return "", errors.New("it has more than one line")
	}
	return text, nil
}

// api is the URL taken apart; an empty one if it cannot be read.
func (d dataPlaneFlags) api() url.URL {
	parsed, err := url.Parse(d.URL)
	if err != nil {
		return url.URL{}
	}
	return *parsed
}
