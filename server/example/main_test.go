package main

import (
	"testing"
	"zatoha/server/service"
)

func TestGreet(t *testing.T) {
	ctx := service.NewContext(t.Context(), service.Call{})
	defer ctx.End()
	greeting := service.JSON(greet)
	got, err := greeting(ctx, service.Request{Payload: []byte(`{"name": "Ada"}`)})
	if err != nil || string(got.Payload) != `{"greeting":"Hello, Ada!"}` {
		t.Errorf("got %s, %v", got.Payload, err)
	}
	_, err = greeting(ctx, service.Request{Payload: []byte(`{"nmae": "Ada"}`)})
	if kind, details := service.Classify(err); kind != service.BadRequest || details != "nmae: is no field here; name: is missing" {
		t.Errorf("got %v, %s", kind, details)
	}
}
