package layout

import (
	"strings"
	"testing"
)

func TestFieldsLieWhereIBMSaysTheyDo(t *testing.T) {
	for _, test := range []struct {
		structure, field string
		offset           int
	}{
		{"MQMD", "Format", 32},
		{"MQMD", "BackoutCount", 96},
		{"MQMD", "OriginalLength", 360},
		{"MQGMO", "MsgHandle", 104},
		{"MQPMO", "OriginalMsgHandle", 160},
		{"MQCD", "SSLCipherSpec", 1688},
		{"MQCNO", "SecurityParmsPtr", 192},
	} {
		if offset := Of(test.structure).Offset(test.field); offset != test.offset {
			t.Errorf("%s.%s is at %d, want %d", test.structure, test.field, offset, test.offset)
		}
	}
	for name, size := range map[string]int{"MQMD": 364, "MQGMO": 112, "MQOD": 424, "MQCHARV": 24, "MQCSP": 104, "MQCD": 1992, "MQSCO": 672} {
		if got := Of(name).Size; got != size {
			t.Errorf("%s has %d bytes, want %d", name, got, size)
		}
	}
	if len(All) != 23 {
		t.Errorf("%d structures", len(All))
	}
}

func TestARecordKeepsWhatIsSet(t *testing.T) {
	md := Of("MQMD")
	memory := make([]byte, md.Size)
	if _, good := md.Read(memory, "MD  "); good {
		t.Error("memory without the identifier was taken for an MQMD")
	}
	copy(memory, "MD  ")
	if _, good := md.Read(memory[1:], "D"); good {
		t.Error("memory that is too short was taken for an MQMD")
	}
	r, good := md.Read(memory, "MD  ")
	if !good {
		t.Fatal("an MQMD was not taken for one")
	}
	r.SetLong("BackoutCount", -7)
	r.SetText("ReplyToQ", "ANSWERS")
	if r.Long("BackoutCount") != -7 || r.Text("ReplyToQ") != "ANSWERS" || len(strings.TrimRight(string(r.Raw("ReplyToQ")), " ")) != 7 {
		t.Errorf("%d, %q", r.Long("BackoutCount"), r.Raw("ReplyToQ"))
	}
}
