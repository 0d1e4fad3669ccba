package config

import (
	"io"
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/BurntSushi/toml"
)

const exampleFile = "../../docs/raftlookupd.example.toml"

var setting = regexp.MustCompile(`(?m)^# ([^ =]+ = .*)$`)

func readExample(t *testing.T) (text string, settings map[string]any) {
	t.Helper()
	raw, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	text = setting.ReplaceAllString(string(raw), "$1")
	if _, err := toml.Decode(text, &settings); err != nil {
		t.Fatal(err)
	}
	return text, settings
}

func TestExampleFileShowsEveryOptionWithItsDefault(t *testing.T) {
	_, settings := readExample(t)
	preset := Default("")
	for _, o := range options() {
		value, ok := settings[o.key()]
		delete(settings, o.key())
		if ok != o.inFile() {
			t.Errorf("%s: in the example: %v, want %v", o.key(), ok, o.inFile())
			continue
		}
		if !ok {
			continue
		}
		shown := Default("not the default")
		if err := o.field.set(&shown, value); err != nil {
			t.Errorf("%s: %v", o.key(), err)
		} else if got, want := o.field.show(&shown), o.field.show(&preset); got != want {
			t.Errorf("%s: the example says %s, the default is %s", o.key(), got, want)
		}
	}
	for key := range settings {
		t.Errorf("%s: in the example, but no option", key)
	}
}

func TestExampleFileWithoutItsCommentMarksIsTheDefault(t *testing.T) {
	text, _ := readExample(t)
	raw, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"as it is": string(raw), "uncommented": text} {
		got, err := Parse([]string{"-config=" + file(t, content)}, nil, io.Discard)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got.Join = nil // an empty list is none
		if want := Default(hostname(t)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
}

func TestOptionsAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range options() {
		if seen[o.name] || o.usage == "" || o.group == "" || o.field == nil {
			t.Errorf("-%s: listed twice, or without usage, group or field", o.name)
		}
		seen[o.name] = true
		_, isBool := o.field.(boolField)
		if i, ok := o.field.(ignored); ok {
			isBool = i.boolean
		}
		if isBool != (o.arg == "") {
			t.Errorf("-%s: takes a value: %v, but is a switch: %v", o.name, o.arg != "", isBool)
		}
	}
}
