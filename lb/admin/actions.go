package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"zatoha/deploy/program"
)

// Action is something that an operator may ask the controller to do. Its result is shown as JSON.
type Action func(ctx context.Context) (result any, err error)

// Failure is the answer to an action that failed.
type Failure struct {
	Error string `json:"error"`
}

// act does the action that the path names.
func (a *Admin) act(w http.ResponseWriter, r *http.Request) {
	if !program.ByAddress(r) {
		a.answer(w, http.StatusForbidden, Failure{Error: fmt.Sprintf("%q is not how an operator calls this controller: use its IP address", r.Host)})
		return
	}
	name := r.PathValue("name")
	action, known := a.options.Actions[name]
	if !known {
		a.answer(w, http.StatusNotFound, Failure{Error: fmt.Sprintf("there is no action %q", name)})
		return
	}
	a.log.Warn().Str("action", name).Str("from", r.RemoteAddr).Msg("an operator acts")
	result, err := action(r.Context())
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		a.answer(w, http.StatusGatewayTimeout, Failure{Error: err.Error()})
	case err != nil:
		a.answer(w, http.StatusConflict, Failure{Error: err.Error()})
	default:
		a.answer(w, http.StatusOK, result)
	}
}
