package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

type line struct {
	Product string  `json:"product" required:"true"`
	Price   float64 `json:"price"`
}

type base struct {
	Reference string `json:"reference" required:"true"`
}

type purchase struct {
	base
	Count    int8           `json:"count" required:"true"`
	Lines    []line         `json:"lines"`
	When     time.Time      `json:"when"`
	Gift     *bool          `json:"gift"`
	Extra    map[string]int `json:"extra"`
	Blob     []byte         `json:"blob"`
	Anything any            `json:"anything"`
	Hidden   string         `json:"-"`
}

func (p purchase) Validate() error {
	if p.Count < 0 {
		return errors.New("count: must not be negative")
	}
	return nil
}

func TestJSONNamesEveryFaultByItsField(t *testing.T) {
	called := 0
	buy := JSON(func(ctx *Context, in purchase) (map[string]any, error) {
		called++
		return map[string]any{"reference": in.Reference, "id": ctx.Param("id")}, nil
	})
	for _, c := range []struct{ payload, want string }{
		{`{"reference": "a", "count": 0}`, ""},
		{`{"reference": "", "count": 1, "lines": [{"product": "x", "price": 1.5}], "when": "2026-01-02T03:04:05Z", "gift": true,
			"extra": {"a": 1}, "blob": "aGk=", "anything": [1, {}]}`, ""},
		{`{"REFERENCE": "a", "count": 1}`, ""},
		{`{"reference": "a", "count": 1, "gift": null, "lines": null}`, ""},
		{``, "reference: is missing; count: is missing"},
		{` null`, "reference: is missing; count: is missing"},
		{`{}`, "reference: is missing; count: is missing"},
		{`{"count": null, "reference": "a"}`, "count: is missing"},
		{`{"reference": 7, "count": "1"}`, "reference: must be a string, not a number; count: must be a whole number, not a string"},
		{`{"reference": "a", "count": 300}`, "count: must be a whole number within its limits, not 300"},
		{`{"reference": "a", "count": 1.5}`, "count: must be a whole number within its limits, not 1.5"},
		{`{"reference": "a", "count": -1}`, "count: must not be negative"},
		{`{"reference": "a", "count": 1, "cuont": 1, "Hidden": ""}`, "cuont: is no field here; Hidden: is no field here"},
		{`{"reference": "a", "count": 1, "lines": [{"product": "x"}, {"price": "1"}]}`, "lines[1].price: must be a number, not a string; lines[1].product: is missing"},
		{`{"reference": "a", "count": 1, "lines": {"a": [{}]}, "b": 1}`, "lines: must be a list, not an object; b: is no field here"},
		{
			`{"reference": "a", "count": "1", "count": 1, "other": [{"a": 1}, 2], "gift": 1}`,
			"count: must be a whole number, not a string; other: is no field here; gift: must be true or false, not a number",
		},
		{`{"reference": "a", "count": 1, "count": null}`, ""},
		{`{"reference": "a", "count": 1, "lines": {}}`, "lines: must be a list, not an object"},
		{`{"reference": "a", "count": 1, "gift": "yes"}`, "gift: must be true or false, not a string"},
		{`{"reference": "a", "count": 1, "extra": {"a": []}}`, "extra.a: must be a whole number, not a list"},
		{`{"reference": "a", "count": 1, "extra": 1}`, "extra: must be an object, not a number"},
		{`{"reference": "a", "count": 1, "when": "soon"}`, `when: parsing time "soon"`},
		{`[]`, "the payload: must be an object, not a list"},
		{`{"reference": "a"`, "the payload is not JSON: unexpected end of JSON input"},
		{`{"reference": "a", "count": 1} {}`, "the payload is not JSON: invalid character '{' after top-level value"},
	} {
		before := called
		ctx := NewContext(t.Context(), Call{})
		response, err := buy(ctx, Request{Payload: []byte(c.payload), Params: map[string]string{"id": "7"}})
		if c.want == "" {
			if err != nil || called != before+1 || !strings.Contains(string(response.Payload), `"id":"7"`) {
				t.Errorf("%s: %v, answer %s", c.payload, err, response.Payload)
			}
			continue
		}
		kind, details := Classify(err)
		if err == nil || kind != BadRequest || !strings.HasPrefix(details, c.want) || called != before {
			t.Errorf("%s: %v %q, want %q", c.payload, kind, details, c.want)
		}
	}
}

// What is refused has a fault with a name, what is not has none, whatever the payload.
func TestJSONFaultsAgreeWithEncodingJSON(t *testing.T) {
	values := rapid.SampledFrom([]string{
		`"a"`, `""`, `1`, `0`, `-1`, `1e3`, `300`, `true`, `null`, `[]`, `{}`, `[{"product":"p"}]`, `[{"price":1}]`, `{"a":1}`,
		`"2026-01-02T03:04:05Z"`, `[1,"a"]`, `"aGk="`,
	})
	names := rapid.SampledFrom([]string{"reference", "count", "lines", "when", "gift", "extra", "blob", "anything", "Count", "other"})
	rapid.Check(t, func(t *rapid.T) {
		var members []string
		for _, name := range rapid.SliceOfNDistinct(names, 0, 6, strings.ToLower).Draw(t, "names") {
			members = append(members, `"`+name+`":`+values.Draw(t, name))
		}
		payload := []byte("{" + strings.Join(members, ",") + "}")
		decoder := json.NewDecoder(strings.NewReader(string(payload)))
		decoder.DisallowUnknownFields()
		var in purchase
		takes := decoder.Decode(&in) == nil
		faults := jsonFaults[purchase](payload, takes)
		for _, fault := range faults {
			if takes && !strings.HasSuffix(fault, ": is missing") {
				t.Fatalf("%s: encoding/json takes it, but %s", payload, fault)
			}
		}
		if !takes && len(faults) == 0 {
			t.Fatalf("%s: encoding/json refuses it, and there is no fault", payload)
		}
	})
}

func TestJSONPassesErrorsOn(t *testing.T) {
	fails := JSON(func(*Context, struct{}) (chan int, error) { return nil, NewError(Conflict, "closed", nil) })
	if kind, _ := Classify(second(fails(NewContext(t.Context(), Call{}), Request{}))); kind != Conflict {
		t.Errorf("kind %v", kind)
	}
	unwritable := JSON(func(*Context, struct{}) (chan int, error) { return nil, nil })
	if err := second(unwritable(NewContext(t.Context(), Call{}), Request{})); err == nil || !strings.Contains(err.Error(), "write the answer as JSON") {
		t.Errorf("%v", err)
	}
}

func second(_ Response, err error) error { return err }

func TestManyFaultsAreCutShort(t *testing.T) {
	var members []string
	for i := range 100 {
		members = append(members, `"`+strings.Repeat("x", 100+i)+`":1`)
	}
	_, err := JSON(func(*Context, struct{}) (int, error) { return 0, nil })(NewContext(t.Context(), Call{}), Request{Payload: []byte("{" + strings.Join(members, ",") + "}")})
	if _, details := Classify(err); len(details) > 3000 || !strings.HasSuffix(details, "; and more") {
		t.Errorf("%d characters: %s", len(details), details)
	}
}

type sealed struct {
	Seal  string `json:"seal" required:"true"`
	Shade string `json:"shade" required:"true"`
}

type crate struct {
	sealed `json:"sealed"`
	line
	Shade  *int    `json:"shade"`
	Amount int     `json:"amount,string" required:"true"`
	Weight float64 `json:"weight,string"`
	Parts  []line  `json:"parts" required:"true"`
	Inner  *crate  `json:"inner"`
}

// The options of encoding/json and its rules of embedding hold for what is required and for faults, too.
func TestJSONTakesWhatEncodingJSONTakes(t *testing.T) {
	send := JSON(func(_ *Context, in crate) (int, error) { return in.Amount, nil })
	const rest = `"product": "p", "parts": [{"product": "q"}]`
	for _, c := range []struct{ payload, want string }{
		{`{"sealed": {"seal": "s", "shade": "x"}, "amount": "7", "weight": "1.5", ` + rest + `}`, ""},
		{`{"sealed": {"seal": "s", "shade": "x"}, "amount": "0", "shade": 1, ` + rest + `}`, ""},
		{`{"sealed": {"shade": "x"}, "amount": "7", ` + rest + `}`, "sealed.seal: is missing"},
		{`{"seal": "s", "amount": "7", ` + rest + `}`, "seal: is no field here"},
		{`{"sealed": {"seal": "s", "shade": "x"}, "amount": "7", "product": "p", "parts": [{}]}`, "parts[0].product: is missing"},
		{`{"amount": 7, "weight": "much"}`, "amount: must be a string, not a number; weight: must be a string that holds a number; "},
		{`{"inner": {"amount": ""}}`, "inner.amount: must be a string that holds a whole number; inner."},
	} {
		response, err := send(NewContext(t.Context(), Call{}), Request{Payload: []byte(c.payload)})
		kind, details := Classify(err)
		if err == nil != (c.want == "") || err != nil && (kind != BadRequest || !strings.HasPrefix(details, c.want)) {
			t.Errorf("%s: %s, %v %q, want %q", c.payload, response.Payload, kind, details, c.want)
		}
	}
}

// To find the faults of a payload must not cost many times as much as to find that it has one.
func TestAHugePayloadWithFaultsIsCheap(t *testing.T) {
	const size = 2 << 20
	deep := `{"inner":` + strings.Repeat(`{"inner":`, 5000)
	for name, payload := range map[string]string{
		"many faults":       `{"parts": [` + strings.Repeat(`{"x":1},`, size/8) + `{}]}`,
		"many good values":  `{"parts": [` + strings.Repeat(`{},`, size/3) + `{}], "x": 1}`,
		"many values more":  `{"x": [` + strings.Repeat(`1,`, size/2) + `1]}`,
		"deep and long":     deep + `{"product": "` + strings.Repeat("x", size) + `", "x": 1}` + strings.Repeat("}", 5001),
		"deep and all good": deep + `{"product": "` + strings.Repeat("x", size) + `"}` + strings.Repeat("}", 5001),
	} {
		var err error
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err = JSON(func(*Context, crate) (int, error) { return 0, nil })(NewContext(t.Context(), Call{}), Request{Payload: []byte(payload)})
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
		t.Logf("%s: %v, %d MB", name, took, allocated)
		if _, details := Classify(err); err == nil || len(details) > 20_000 || allocated > 400 {
			t.Errorf("%s: %d MB for %.300s", name, allocated, details)
		}
	}
}

// A decoder that is used again decodes as a new one does, whatever it decoded before.
func FuzzStrictAgreesWithAFreshDecoder(f *testing.F) {
	f.Add([]byte(`{"reference": "a", "count": 1}`), []byte(`{"reference": "b"} `))
	f.Add([]byte(`{"lines": [{"product": "x"}]}{}`), []byte(`[1,2`))
	f.Add([]byte(`"a"`), []byte("{}\n"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		for _, payload := range [][]byte{first, second, first} {
			if len(payload) == 0 {
				continue
			}
			var got, want purchase
			err := strict(payload, &got)
			decoder := json.NewDecoder(bytes.NewReader(payload))
			decoder.DisallowUnknownFields()
			fresh := decoder.Decode(&want)
			if fresh == nil && !json.Valid(payload) {
				fresh = errMore
			}
			if (err == nil) != (fresh == nil) || err == nil && !reflect.DeepEqual(got, want) {
				t.Fatalf("%q: %v and %+v, a fresh decoder %v and %+v", payload, err, got, fresh, want)
			}
			faults := jsonFaults[purchase](payload, err == nil)
			if err == nil && len(faults) > 0 && !requirementOf(reflect.TypeFor[purchase]()).mayLack(reflect.ValueOf(got)) {
				t.Fatalf("%q is taken and has the faults %q", payload, faults)
			}
		}
	})
}
