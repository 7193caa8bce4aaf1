//go:build ibmmq && cgo

package mqi

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/ibm-messaging/mq-golang/v5/ibmmq"
)

// TestReasonsHaveTheirNames compares the numbers in the table of reasons with the names by which mq-golang knows them.
func TestReasonsHaveTheirNames(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../reasons.go", nil, 0)
	must(t, err)
	names := 0
	ast.Inspect(file, func(node ast.Node) bool {
		pair, isPair := node.(*ast.KeyValueExpr)
		if !isPair {
			return true
		}
		number, isNumber := pair.Key.(*ast.BasicLit)
		value, isValue := pair.Value.(*ast.CompositeLit)
		if !isNumber || !isValue {
			return true
		}
		name := strings.Trim(value.Elts[0].(*ast.BasicLit).Value, `"`)
		var code int32
		for _, digit := range number.Value {
			code = 10*code + digit - '0'
		}
		if known := ibmmq.MQItoString("RC", int(code)); known != name {
			t.Errorf("%d is %s, in the table %s", code, known, name)
		}
		names++
		return true
	})
	if names < 50 {
		t.Errorf("only %d reasons were found", names)
	}
	for code, name := range map[int32]string{
		2003: "MQRC_BACKED_OUT", 2009: "MQRC_CONNECTION_BROKEN", 2018: "MQRC_HCONN_ERROR", 2033: "MQRC_NO_MSG_AVAILABLE", 2035: "MQRC_NOT_AUTHORIZED",
		2080: "MQRC_TRUNCATED_MSG_FAILED", 2123: "MQRC_OUTCOME_MIXED", 2124: "MQRC_OUTCOME_PENDING",
	} {
		if known := ibmmq.MQItoString("RC", int(code)); known != name {
			t.Errorf("%d is %s, not %s", code, known, name)
		}
	}
}
