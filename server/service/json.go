package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
)

// Validator is an input that knows more of itself than its types say. What its Validate returns is told to the caller.
type Validator interface{ Validate() error }

// JSON makes a service of a function whose input and output are JSON: of structs, as encoding/json has them. An input
// is refused, with its faults named by their fields, the first twenty of them, if it has a field that In does not have, a
// value of another type, or lacks a field with the tag `required:"true"`; or if In is a [Validator] and refuses it. A
// request without a payload is one of no fields.
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

// reader is a decoder that is used again, and what it reads from.
type reader struct {
	bytes.Reader
	decoder *json.Decoder
}

var readers = sync.Pool{New: func() any {
	r := &reader{}
	r.decoder = json.NewDecoder(&r.Reader)
	r.decoder.DisallowUnknownFields()
	return r
}}

var errMore = errors.New("there is something behind the value")

// strict is json.Unmarshal that allows no unknown fields.
func strict(payload []byte, in any) error {
	r := readers.Get().(*reader)
	r.Reset(payload)
	before := r.decoder.InputOffset()
	if err := r.decoder.Decode(in); err != nil {
		return err // and the decoder is of no use any more
	}
	rest := payload[r.decoder.InputOffset()-before:]
	if len(bytes.TrimLeft(rest, " \t\r\n")) > 0 {
		return errMore
	}
	if len(rest) == 0 && len(payload) <= mostKept && (payload[0] == '{' || payload[0] == '[') {
		readers.Put(r) // it has read just this, and looked for no more
	}
	return nil
}

// mostKept is the largest payload whose memory a decoder keeps.
const mostKept = 64 << 10

func decode[In any](payload []byte, in *In, required requirement) error {
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	err := strict(payload, in)
	if err != nil || required.mayLack(reflect.ValueOf(in).Elem()) {
		// What encoding/json says is about one field, and not always which.
		if faults := jsonFaults[In](payload, err == nil); len(faults) > 0 {
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
