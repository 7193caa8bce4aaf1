package program

import "github.com/rs/zerolog"

// Renewed logs what becomes of a secret that is read again when its file changes: nil says that there is another one.
func Renewed(log zerolog.Logger, what string) func(error) {
	return func(err error) {
		if err != nil {
			log.Error().Err(err).Msg(what + ": there is none in its file: write one that this user can read into it")
			return
		}
		log.Info().Msg(what + ": another one is in use from now on")
	}
}
