package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"zatoha/connectorhost/ibmmq/testqm/layout"
)

// constant is a named value of the MQI, as C writes it.
type constant struct{ name, value string }

var constantLine = regexp.MustCompile(`^\s+(MQ\w+)\s+(\w+)\s*=\s*(.+)$`)

// readConstants reads the constants of mq-golang, whose folder is given.
func readConstants(module string) (all []constant, err error) {
	path := filepath.Join(module, "ibmmq", "cmqc_"+runtime.GOOS+"_"+runtime.GOARCH+".go")
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the constants: %w: the stand-in is for Linux on amd64 or arm64", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		found := constantLine.FindStringSubmatch(lines.Text())
		if found == nil {
			continue
		}
		value := strings.TrimSpace(found[3])
		if strings.HasPrefix(value, "-") {
			value = "(" + value + ")"
		}
		all = append(all, constant{found[1], value})
	}
	if len(all) < 5000 {
		return nil, fmt.Errorf("read the constants: only %d are in %s", len(all), path)
	}
	return all, lines.Err()
}

const types = `
typedef unsigned char MQBYTE, *PMQBYTE;
typedef char MQCHAR, *PMQCHAR;
typedef int MQLONG, *PMQLONG;
typedef MQLONG MQINT32;
typedef signed char MQINT8;
typedef short MQINT16;
typedef long MQINT64;
typedef float MQFLOAT32;
typedef double MQFLOAT64;
typedef void *MQPTR, *PMQVOID;
typedef MQLONG MQHCONN, *PMQHCONN;
typedef MQLONG MQHOBJ, *PMQHOBJ;
typedef MQINT64 MQHMSG, *PMQHMSG;
`

// calls are the functions that mq-golang calls.
const calls = `
#define ENDS PMQLONG pCompCode, PMQLONG pReason
void MQBACK(MQHCONN, ENDS);
void MQBEGIN(MQHCONN, PMQVOID, ENDS);
void MQCB(MQHCONN, MQLONG, PMQVOID, MQHOBJ, PMQVOID, PMQVOID, ENDS);
void MQCLOSE(MQHCONN, PMQHOBJ, MQLONG, ENDS);
void MQCMIT(MQHCONN, ENDS);
void MQCONNX(PMQCHAR, PMQCNO, PMQHCONN, ENDS);
void MQCRTMH(MQHCONN, PMQVOID, PMQHMSG, ENDS);
void MQCTL(MQHCONN, MQLONG, PMQVOID, ENDS);
void MQDISC(PMQHCONN, ENDS);
void MQDLTMH(MQHCONN, PMQHMSG, PMQVOID, ENDS);
void MQDLTMP(MQHCONN, MQHMSG, PMQVOID, PMQVOID, ENDS);
void MQGET(MQHCONN, MQHOBJ, PMQVOID, PMQVOID, MQLONG, PMQVOID, PMQLONG, ENDS);
void MQINQ(MQHCONN, MQHOBJ, MQLONG, PMQLONG, MQLONG, PMQLONG, MQLONG, PMQCHAR, ENDS);
void MQINQMP(MQHCONN, MQHMSG, PMQVOID, PMQVOID, PMQVOID, PMQLONG, MQLONG, PMQVOID, PMQLONG, ENDS);
void MQOPEN(MQHCONN, PMQVOID, MQLONG, PMQHOBJ, ENDS);
void MQPUT(MQHCONN, MQHOBJ, PMQVOID, PMQVOID, MQLONG, PMQVOID, ENDS);
void MQPUT1(MQHCONN, PMQVOID, PMQVOID, PMQVOID, MQLONG, PMQVOID, ENDS);
void MQSET(MQHCONN, MQHOBJ, MQLONG, PMQLONG, MQLONG, PMQLONG, MQLONG, PMQCHAR, ENDS);
void MQSETMP(MQHCONN, MQHMSG, PMQVOID, PMQVOID, PMQVOID, MQLONG, MQLONG, PMQVOID, ENDS);
void MQSTAT(MQHCONN, MQLONG, PMQVOID, ENDS);
void MQSUB(MQHCONN, PMQVOID, PMQHOBJ, PMQHOBJ, ENDS);
void MQSUBRQ(MQHCONN, MQHOBJ, MQLONG, PMQVOID, ENDS);
#undef ENDS
`

// namers are the functions that tell a value's name, each for the constants of a prefix.
var namers = []string{
	"MQBACF", "MQCA", "MQCACF", "MQCACH", "MQCAMO", "MQCC", "MQCHT", "MQCMD", "MQIA", "MQIACF", "MQIACH", "MQIAMO", "MQIAMO64",
	"MQOT", "MQPL", "MQRC", "MQRCCF",
}

// headers are the files that mq-golang includes.
func headers(constants []constant) map[string]string {
	var c strings.Builder
	c.WriteString("/* Made by zatoha's stand-in, not by IBM. */\n#ifndef STANDIN_CMQC\n#define STANDIN_CMQC\n")
	for _, one := range constants {
		fmt.Fprintf(&c, "#define %s %s\n", one.name, one.value)
	}
	c.WriteString("#define MQBNO_STRUC_ID \"BNO \"\n" + types)
	for _, s := range layout.All {
		c.WriteString(s.Declaration())
	}
	c.WriteString(calls + "#endif\n")
	var names strings.Builder
	names.WriteString("#ifndef STANDIN_CMQSTRC\n#define STANDIN_CMQSTRC\n#include <cmqc.h>\n")
	for _, prefix := range namers {
		names.WriteString(namer(prefix, constants))
	}
	names.WriteString("#endif\n")
	const same = "#include <cmqc.h>\n"
	return map[string]string{"cmqc.h": c.String(), "cmqxc.h": same, "cmqcfc.h": same, "cmqstrc.h": names.String()}
}

// namer is the C function that tells the names of the values of a prefix.
func namer(prefix string, constants []constant) string {
	var c strings.Builder
	fmt.Fprintf(&c, "static inline char *%s_STR(MQLONG v) {\n  switch (v) {\n", prefix)
	taken := map[string]bool{}
	for _, one := range constants {
		rest, found := strings.CutPrefix(one.name, prefix+"_")
		if !found || taken[one.value] || strings.HasPrefix(rest, "FIRST") || strings.HasPrefix(rest, "LAST") {
			continue
		}
		taken[one.value] = true
		fmt.Fprintf(&c, "  case %s: return \"%s\";\n", one.value, one.name)
	}
	c.WriteString("  }\n  return \"\";\n}\n")
	return c.String()
}
