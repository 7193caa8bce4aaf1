package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"zatoha/deploy/program"
)

// Action is something that an operator may ask the controller to do. Its result is shown as JSON.
type Action func(ctx context.Context) (result any, err error)

// ActionTimeout bounds an action: a reload with a check of 5,000 servers takes a second or two.
const ActionTimeout = 30 * time.Second

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
	// The server's own limit is that of its pages. A writer that cannot set it has none, as in a test.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(ActionTimeout + requestTimeout))
	ctx, cancel := context.WithTimeout(r.Context(), ActionTimeout)
	defer cancel()
	result, err := action(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		a.answer(w, http.StatusGatewayTimeout, Failure{Error: err.Error()})
	case err != nil:
		a.answer(w, http.StatusConflict, Failure{Error: err.Error()})
	default:
		a.answer(w, http.StatusOK, result)
	}
}
