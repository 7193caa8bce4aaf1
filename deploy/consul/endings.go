package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/rs/zerolog"
)

// soon is how long before the end of what a run does not renew each run warns of it: two of the monthly runs.
const soon = 60 * 24 * time.Hour

// ending is when a certificate in the folder is no longer good.
type ending struct {
	file    string
	at      time.Time
	warning string // empty for what a run like this one renews in time
}

// tellEndings logs when each certificate in the folder ends, the earliest first: also those of machines that this run was
// not told of, which it has not renewed. A certificate that cannot be read is told, and is no reason to stop.
func (s *setup) tellEndings(log zerolog.Logger, now time.Time) {
	for _, e := range s.endings(log) {
		left := e.at.Sub(now)
		event, message := log.Info(), "a certificate ends"
		if e.warning != "" && left < soon {
			event, message = log.Warn(), e.warning
		}
		event.Str("file", filepath.Join(s.Dir, e.file)).Str("ends", e.at.UTC().Format(time.RFC3339)).
			Int("days", int(left/(24*time.Hour))).Msg(message)
	}
}

func (s *setup) endings(log zerolog.Logger) (all []ending) {
	folder := folder{s.Dir, log}
	files, _ := fs.Glob(os.DirFS(s.Dir), "*/consul.d/agent.pem") // fails only for a bad pattern
	for _, file := range append(files, "ca.pem") {
		text, err := folder.get(file)
		if err != nil {
			log.Warn().Err(err).Msg("nobody knows when this certificate ends: mend the file, or remove it")
			continue
		}
		cert, err := parseCertificate(text)
		if err != nil {
			log.Warn().Err(err).Str("file", filepath.Join(s.Dir, file)).
				Msg("nobody knows when this certificate ends: name its machine too, which makes another, or remove the folder of a machine that is gone")
			continue
		}
		all = append(all, ending{file, cert.NotAfter, s.warning(file)})
	}
	slices.SortStableFunc(all, func(a, b ending) int { return a.at.Compare(b.at) })
	return all
}

// warning is what there is to say, when its end comes near, of a certificate that this run would not have renewed.
func (s *setup) warning(file string) string {
	machine := path.Dir(path.Dir(file))
	_, server := named(s.servers, machine)
	_, client := named(s.clients, machine)
	switch {
	case file == "ca.pem":
		return "the authority ends, with all certificates of it, and no run renews it: remove ca.pem and ca-key.pem, run this again, " +
			"and give all machines at once what is theirs"
	case !server && !client:
		return "a certificate ends, and this run did not renew it: name its machine too, or remove the folder of a machine that is gone"
	}
	return ""
}
