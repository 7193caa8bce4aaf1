package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// Validator is an input that knows more of itself than its types say. What its Validate returns is told to the caller.
type Validator interface{ Validate() error }

// JSON makes a service of a function whose input and output are JSON: of structs, as encoding/json has them. An input
// is refused, with every fault of it named by its field, if it has a field that In does not have, a value of another
// type, or lacks a field with the tag `required:"true"`; or if In is a [Validator] and refuses it. A request without a
// payload is one of no fields.
func JSON[In, Out any](do func(ctx *Context, in In) (Out, error)) Service {
	required := requirementOf(reflect.TypeFor[In]())
	return func(ctx *Context, request Request) (Response, error) {
		var in In
		if err := decode(request.Payload, &in, required); err != nil {
			return Response{}, err
		}
		ctx.params = request.Params
		out, err := do(ctx, in)
		if err != nil {
			return Response{}, err
		}
		payload, err := json.Marshal(out)
		if err != nil {
			return Response{}, fmt.Errorf("write the answer as JSON: %w", err)
		}
		return Response{Payload: payload}, nil
	}
}

func decode[In any](payload []byte, in *In, required requirement) error {
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	decoder := json.NewDecoder(bytes.NewReader(payload))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(in)
	if err == nil {
		if _, err = decoder.Token(); err == io.EOF {
			err = nil
		}
	}
	if err != nil || required.mayLack(reflect.ValueOf(in).Elem()) {
		// What encoding/json says is about one field, and not always which.
		if faults := jsonFaults[In](payload); len(faults) > 0 {
			return NewError(BadRequest, joined(faults), err)
		}
	}
	if err != nil {
		return NewError(BadRequest, "the payload does not fit: "+err.Error(), err)
	}
	validator, ok := any(*in).(Validator)
	if !ok {
		validator, ok = any(in).(Validator)
	}
	if !ok {
		return nil
	}
	if err := validator.Validate(); err != nil {
		var chosen *Error
		if errors.As(err, &chosen) {
			return err
		}
		return NewError(BadRequest, joined([]string{err.Error()}), err)
	}
	return nil
}
