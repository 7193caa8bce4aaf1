package connector

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// paper is a kind for the tests of definitions; it has one field of each type.
type paper struct {
	Settings `json:"-"`

	Box      string
	Password Secret
	Sheets   int
	Folded   bool
	Every    time.Duration
}

func init() {
	Register("paper", func(f *Fields) Settings {
		return paper{
			Box: f.Required("box"), Password: f.Secret("password"), Sheets: f.Int("sheets", 7, 1, 100),
			Folded: f.Bool("folded", false), Every: f.Duration("every", time.Second, time.Millisecond, time.Minute),
		}
	})
}

const good = `{"name": "letters", "kind": "paper", "role": "channel", "service": "letter.read", "box": "b"`

func TestADefinitionHasItsDefaults(t *testing.T) {
	d, err := Decode([]byte(good + "}"))
	if err != nil {
		t.Fatal(err)
	}
	want := paper{Box: "b", Sheets: 7, Every: time.Second}
	if d.Settings != want || !d.Active || d.MaxAttempts != 5 || d.DataFormat != "raw" || d.MediaType() != "application/octet-stream" {
		t.Errorf("%+v", d)
	}
}

func TestEveryFaultIsReportedAtOnceByField(t *testing.T) {
	for text, want := range map[string]string{
		``:                         `connector: is no JSON object: it ends too soon`,
		`[]`:                       `connector: is no JSON object: line 1: it must begin with {`,
		"{\n\"name\": \n}":         `connector: is no JSON in field "name": line 2: invalid character '}' looking for beginning of value`,
		`{"name": "a"} {}`:         `connector: has something behind the JSON object`,
		`{"name": "a", "name": 1`:  `connector: is no JSON: it ends too soon`,
		`{}`:                       `connector: name is missing; kind is missing; role is missing; service is missing`,
		`{"name": null}`:           `connector: name must be a text; kind is missing; role is missing; service is missing`,
		good + `, "box": "c"}`:     `connector "letters": box is there twice`,
		good + `, "boks": "c"}`:    `connector "letters": boks is no field of channel connectors of kind paper`,
		good + `, "sheets": "5"}`:  `connector "letters": sheets must be a whole number, without quotes`,
		good + `, "sheets": 1.5}`:  `connector "letters": sheets is 1.5, must be a whole number`,
		good + `, "sheets": 101}`:  `connector "letters": sheets is 101, must be 1 to 100`,
		good + `, "sheets": [1]}`:  `connector "letters": sheets must be a whole number`,
		good + `, "every": "5"}`:   `connector "letters": every is "5": use a number with a unit, such as "10s" or "250ms"`,
		good + `, "every": "2m"}`:  `connector "letters": every is 2m0s, must be 1ms to 1m0s`,
		good + `, "folded": 1}`:    `connector "letters": folded must be true or false`,
		good + `, "password": 12}`: `connector "letters": password must be a text`,
		good + `, "password": "${ENV:X} ${file:a} ${env:} ${env:X"}`: `connector "letters": password has a reference to "ENV": there are ${env:NAME} and ${file:/path}; ` +
			`password has a reference ${file:a} that is not an absolute path; password has a reference ${env:} that names nothing; password has a ${ without a }`,
		`{"name": "a b", "kind": "papyrus", "role": "both", "is_active": "yes", "max_attempts": 0, "data_format": "xml", "service": "a/b"}`: `connector "a b": ` +
			`name is "a b": use at most 100 letters, digits, dots, dashes and underscores, a letter or digit first; role is "both": use channel or outgoing; ` +
			`is_active must be true or false; data_format is "xml": use raw or json; service is "a/b": a service's name has no spaces and none of / ? # %; ` +
			`max_attempts is 0, must be 1 to 1000; kind is "papyrus": this program has fake or paper`,
		`{"name": "a", "kind": "paper", "role": "outgoing", "service": "s", "dead_letter": "d", "box": ""}`: `connector "a": ` +
			`service is for channels: leave it out of an outgoing connector; dead_letter is for channels: leave it out of an outgoing connector; box is empty`,
	} {
		_, err := Decode([]byte(text))
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n%v, want\n%s", text, err, want)
		}
		if !errors.Is(err, ErrDefinition) {
			t.Errorf("%s: %v is no ErrDefinition", text, err)
		}
	}
}

func TestASecretIsNeverSeen(t *testing.T) {
	d, err := Decode([]byte(good + `, "password": "pa55word"}`))
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	secret := d.Settings.(paper).Password
	for _, text := range []string{
		string(asJSON), fmt.Sprint(d.Settings), fmt.Sprintf("%#v", d.Settings), fmt.Sprintf("%+v %v %s %q %x %d", d.Settings, secret, secret, secret, secret, secret),
		secret.LogValue().String(),
	} {
		if strings.Contains(text, "pa55") || strings.Contains(text, fmt.Sprintf("%x", "pa55")) || !strings.Contains(text, "***") {
			t.Error(text)
		}
	}
	if value, err := secret.Reveal(); value != "pa55word" || err != nil {
		t.Error(value, err)
	}
}

func TestAFileWithoutASecretIsAnError(t *testing.T) {
	empty, pipe := filepath.Join(t.TempDir(), "empty"), filepath.Join(t.TempDir(), "pipe")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil { // it would be waited for without end
		t.Fatal(err)
	}
	for path, want := range map[string]string{empty: empty + " is empty", pipe: pipe + " is no ordinary file"} {
		if value, err := NewSecret("${file:" + path + "}").Reveal(); value != "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q, %v; want %q", value, err, want)
		}
	}
}

func TestReferencesAreLookedUpLate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	secret := NewSecret("amqp://${env:ZATOHA_TEST_USER}:${file:" + file + "}@mq/${env:ZATOHA_TEST_USER}")
	t.Setenv("ZATOHA_TEST_USER", "")
	os.Unsetenv("ZATOHA_TEST_USER")
	if _, err := secret.Reveal(); err == nil || !strings.Contains(err.Error(), "${env:ZATOHA_TEST_USER}: the variable is not set") {
		t.Error(err)
	}
	t.Setenv("ZATOHA_TEST_USER", "me")
	if _, err := secret.Reveal(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), file) {
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("${env:X}\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if value, err := secret.Reveal(); value != "amqp://me:${env:X}@mq/me" || err != nil {
		t.Error(value, err)
	}
}

func TestAPasswordInAnAddressMayHaveAnyCharacters(t *testing.T) {
	t.Setenv("ZATOHA_TEST_PASSWORD", "a@b:c/d?e#f g+h%")
	text, err := NewSecret("amqp://me:${env:ZATOHA_TEST_PASSWORD}@mq/shop").RevealURL()
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if password, _ := address.User.Password(); password != "a@b:c/d?e#f g+h%" || address.Host != "mq" {
		t.Errorf("password %q, host %q", password, address.Host)
	}
	t.Setenv("ZATOHA_TEST_PASSWORD", "amqp://me:p@mq/shop")
	if text, err := NewSecret("${env:ZATOHA_TEST_PASSWORD}").RevealURL(); text != "amqp://me:p@mq/shop" || err != nil {
		t.Error(text, err)
	}
	if shape := NewSecret("amqp://me:${env:A}@mq/${file:/b}").Shape("x"); shape != "amqp://me:x@mq/x" {
		t.Error(shape)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"{}", good + "}", good + `, "password": "${env:A}${file:/b}", "sheets": 1e2}`, `{"a": {"b": [1, "\u0000"]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Decode(text)
		if (d == nil) == (err == nil) {
			t.Fatalf("%v, %v", d, err)
		}
		if err != nil && (!errors.Is(err, ErrDefinition) || strings.Contains(err.Error(), "\n")) {
			t.Fatalf("%q", err)
		}
	})
}
