package measure

import (
	"os"
	"strings"
	"testing"
	"time"

	"zatoha/bench/load"
	"zatoha/bench/report"
)

func TestOursIsSetBesideThePeer(t *testing.T) {
	ours, theirs := changes{up: Sample{2, 3}, down: Sample{2, 9}}, changes{up: Sample{7, 33}, down: Sample{3, 9}}
	sizes := []propagationTimes{
		{servers: 3, ours: ours, peer: theirs, bareUp: Sample{1, 2}, bareDown: Sample{1, 2}},
		{servers: 100, ours: theirs, peer: ours, bareUp: Sample{1, 2}, bareDown: Sample{1, 2}},
	}
	page := report.New("Propagation", "here")
	const behind = "not at deregistration → last response, 3 servers, p99; registration → first response, 100 servers, median; " +
		"registration → first response, 100 servers, p99; deregistration → last response, 100 servers, median; " +
		"deregistration → last response, 100 servers, p99"
	if verdict := beside(page, sizes); verdict != "ours is ahead of fabio at 3 of 8 figures, "+behind {
		t.Error(verdict)
	}
	text := written(t, page)
	for _, want := range []string{
		"ours is ahead of fabio at 3 of 8 figures",
		"| registration → first response, 3 servers, p99 | 2 | 3.00 ms | 33.00 ms | 2.00 ms | ahead |",
		"| deregistration → last response, 3 servers, p99 | 2 | 9.00 ms | 9.00 ms | 2.00 ms | not ahead |",
		"proxy.strategy=rr",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report does not say %q:\n%s", want, text)
		}
	}
}

func TestNoRequestOfOursMayFailUnderTheChanges(t *testing.T) {
	carries := func(fails int) load.Report {
		return load.Report{Requests: 9000, Elapsed: 2 * time.Second, Statuses: map[int]int{200: 9000 - fails, 503: fails}}
	}
	for _, test := range []struct {
		ours, theirs int
		passed       bool
		summary      string
		says         string
	}{
		{0, 0, true, "2 of 2 targets met, 0 requests failed under the changes", "may fail: 4500 requests a second, 0 of 9000 failed"},
		{1, 0, false, "2 of 2 targets met, 1 requests failed under the changes", "may fail: 4500 requests a second, 1 of 9000 failed"},
		{0, 2, true, "2 of 2 targets met, 0 requests failed under the changes", "; fabio: 4500 requests a second, 2 of 9000 failed"},
	} {
		times := propagationTimes{servers: 3, ours: changes{up: Sample{2}, down: Sample{2}, load: carries(test.ours)}}
		if test.theirs > 0 {
			times.peer = changes{up: Sample{2}, down: Sample{2}, load: carries(test.theirs)}
		}
		page := report.New("Propagation", "here")
		if passed, summary := judge(page, []propagationTimes{times}); passed != test.passed || summary != test.summary {
			t.Errorf("%v, %s; want %+v", passed, summary, test)
		}
		if text := written(t, page); !strings.Contains(text, test.says) {
			t.Errorf("the report does not say %q:\n%s", test.says, text)
		}
	}
}

// written is the text of a page.
func written(t *testing.T, page *report.Page) string {
	t.Helper()
	path, err := page.Write(t.TempDir(), "propagation")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatIsShownOfAPeerThatIsThere(t *testing.T) {
	alone := propagationTimes{servers: 3, ours: changes{up: Sample{2}, down: Sample{2}}, bareUp: Sample{1}, bareDown: Sample{1}}
	two := alone
	two.peer = changes{up: Sample{7}, upAnswered: Sample{6}, down: Sample{3}, downAnswered: Sample{2}}
	for _, test := range []struct {
		times         propagationTimes
		rows, series  int
		says, limited int
	}{{alone, 8, 4, 4, 2}, {two, 12, 6, 5, 2}} {
		limited := 0
		for _, target := range test.times.targets() {
			if target.median > 0 {
				limited++
			}
		}
		var said strings.Builder
		test.times.tell(&said)
		rows, series, says := len(test.times.targets()), len(test.times.chart().Series), strings.Count(said.String(), "\n")
		if rows != test.rows || series != test.series || says != test.says || limited != test.limited {
			t.Errorf("%d rows, %d series, %d lines, %d limits, want %+v", rows, series, says, limited, test)
		}
	}
}
