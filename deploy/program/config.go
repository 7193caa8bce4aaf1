package program

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// ConfigError says that the program cannot run as it is configured. Returned by a Validate hook or from Run it makes
// the program exit with status 2 and this one line; the surroundings count as configuration too: a port in use, say.
type ConfigError struct {
	What   string // what is wrong: `unknown field "lisen"`
	Where  string // the flag, variable, or file and line; may be empty
	Remedy string // what the operator can do; may be empty
}

func (e *ConfigError) Error() string {
	parts := slices.DeleteFunc([]string{e.Where, e.What, e.Remedy}, func(s string) bool { return s == "" })
	return strings.Join(parts, ": ")
}

// BadConfig is a [ConfigError] in one call.
func BadConfig(where, what, remedy string) error {
	return &ConfigError{Where: where, What: what, Remedy: remedy}
}

// configFile is the --config file as a kong resolver. It is empty until load has read it.
type configFile struct {
	values map[string]string // flag name → value, as it would be typed; nil until it is read
}

// load reads and checks the whole file, so that one start reports all its faults. kong calls it for each element of
// the command line; only the first call reads.
func (f *configFile) load(ctx *kong.Context) error {
	path := configPath(ctx)
	if path == "" || f.values != nil {
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		remedy := "give --config a YAML file that can be read"
		var cause *fs.PathError
		if errors.As(err, &cause) {
			err = cause.Err // the path is named already
		}
		return BadConfig(path, "cannot read the configuration file: "+err.Error(), remedy)
	}
	f.values, err = parseYAML(path, content, settings(ctx.Model.Node))
	return err
}

// Validate has nothing left to do: load checks the file before any of its values is used.
func (f *configFile) Validate(*kong.Application) error { return nil }

// Resolve gives the file's value of a flag that was not on the command line. kong would let it win over the
// environment, so that is looked at here.
func (f *configFile) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	for _, variable := range flag.Tag.Envs {
		if _, set := os.LookupEnv(variable); set {
			return nil, nil
		}
	}
	if value, set := f.values[flag.Name]; set {
		return value, nil
	}
	return nil, nil
}

func configPath(ctx *kong.Context) string {
	for _, flag := range ctx.Model.Flags {
		if flag.Name == "config" {
			return ctx.FlagValue(flag).(string)
		}
	}
	return ""
}

// settings collects the flags that a file may set, those of all commands: one file serves `lb` and `lb plan`.
func settings(node *kong.Node) map[string]*kong.Flag {
	flags := map[string]*kong.Flag{}
	for _, flag := range node.Flags {
		if !slices.Contains([]string{"help", "version", "config"}, flag.Name) {
			flags[flag.Name] = flag
		}
	}
	for _, child := range node.Children {
		for name, flag := range settings(child) {
			flags[name] = flag
		}
	}
	return flags
}

// parseYAML returns the settings in a file, or all of the file's faults joined, in the order of its lines.
func parseYAML(path string, content []byte, flags map[string]*kong.Flag) (map[string]string, error) {
	file, err := parser.ParseBytes(content, 0)
	if err != nil {
		return nil, syntaxError(path, err)
	}
	values := map[string]string{}
	var faults []error
	for _, document := range file.Docs {
		pairs, err := topLevel(document.Body)
		if err != nil {
			return nil, BadConfig(path, err.Error(), `write one "name: value" a line`)
		}
		for _, pair := range pairs {
			name := pair.Key.GetToken().Value
			where := fmt.Sprintf("%s:%d", path, pair.Key.GetToken().Position.Line)
			flag, known := flags[name]
			if !known {
				faults = append(faults, unknownField(where, name, flags))
				continue
			}
			if values[name], err = flagText(flag, pair.Value); err != nil {
				faults = append(faults, BadConfig(where, name+": "+err.Error(), ""))
			}
		}
	}
	return values, errors.Join(faults...)
}

func syntaxError(path string, err error) error {
	var fault yaml.Error
	if errors.As(err, &fault) && fault.GetToken() != nil {
		where := fmt.Sprintf("%s:%d", path, fault.GetToken().Position.Line)
		return BadConfig(where, "not valid YAML: "+fault.GetMessage(), "correct this line or the one before it")
	}
	return BadConfig(path, "not valid YAML: "+err.Error(), "correct the file")
}

func topLevel(body ast.Node) ([]*ast.MappingValueNode, error) {
	switch body := body.(type) {
	case nil, *ast.CommentGroupNode, *ast.NullNode:
		return nil, nil
	case *ast.MappingNode:
		return body.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{body}, nil
	default:
		return nil, fmt.Errorf("expected settings but got a %s", strings.ToLower(body.Type().String()))
	}
}

// flagText turns a YAML value into the text that the flag would take on the command line, and checks that the flag
// takes it.
func flagText(flag *kong.Flag, node ast.Node) (string, error) {
	text, err := "", error(nil)
	if flag.Target.Type() == reflect.TypeFor[Document]() {
		text, err = documentText(node)
		if err != nil {
			return "", err
		}
	} else if list, isList := node.(*ast.SequenceNode); isList {
		if !flag.IsSlice() {
			return "", errors.New("expected one value but got a list")
		}
		items := make([]string, len(list.Values))
		for i, item := range list.Values {
			if items[i], err = scalarText(item); err != nil {
				return "", err
			}
		}
		text = kong.JoinEscaped(items, flag.Tag.Sep)
	} else if text, err = scalarText(node); err != nil {
		return "", err
	}
	token := kong.Token{Type: kong.FlagValueToken, Value: text}
	trial := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: kong.ScanFromTokens(token)}, trial); err != nil {
		return "", err
	}
	if flag.Enum != "" && !flag.EnumMap()[text] {
		return "", fmt.Errorf("must be one of %s but got %q", strings.Join(flag.EnumSlice(), ", "), text)
	}
	return text, nil
}

func scalarText(node ast.Node) (string, error) {
	switch node := node.(type) {
	case *ast.StringNode:
		return node.Value, nil
	case *ast.LiteralNode:
		return node.Value.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return node.GetToken().Value, nil
	case *ast.NullNode:
		return "", errors.New("has no value; give one or remove the line")
	default:
		return "", fmt.Errorf("expected one value but got a %s", strings.ToLower(node.Type().String()))
	}
}

func unknownField(where, name string, flags map[string]*kong.Flag) error {
	nearest, least := "", 3 // more than two edits is another word
	for known := range flags {
		distance := editDistance(name, known)
		if distance < least || distance == least && nearest != "" && cmp.Less(known, nearest) {
			nearest, least = known, distance
		}
	}
	remedy := "remove it, or see --help for the names"
	if nearest != "" {
		remedy = fmt.Sprintf("did you mean %q?", nearest)
	}
	return BadConfig(where, fmt.Sprintf("unknown field %q", name), remedy)
}

// editDistance is Levenshtein's, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
