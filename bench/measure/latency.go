package measure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"zatoha/bench/report"
)

// steady is how long each rate is kept up.
const steady = 2 * time.Second

// paced is a contender under load at fixed rates.
type paced struct {
	contender
	at map[int]*latencies // by requests per second
}

// latencies are those of one contender at one rate.
type latencies struct {
	all  Sample // ms, of every request
	p99s Sample // of each round
}

// Latency measures how long an answer takes at fixed rates, far from the most that can be carried: of ours, of a static
// HAProxy with the same directives, of its twin as a control, and of one without protective directives.
func Latency(ctx context.Context, o Options, rates []int) (outcome Outcome, err error) {
	l, err := o.lab(ctx, 3)
	if err != nil {
		return outcome, err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	contenders, stop, err := l.contenders(ctx)
	defer stop()
	if err != nil {
		return outcome, err
	}
	var all []*paced
	for _, c := range contenders {
		p := &paced{c, map[int]*latencies{}}
		for _, rate := range rates {
			p.at[rate] = &latencies{}
		}
		if _, err := p.keepUp(ctx, rates[0], warmUp); err != nil {
			return outcome, err
		}
		all = append(all, p)
	}
	for i := range o.Trials {
		for _, rate := range rates {
			for j := range all { // in turn, and each goes first as often
				if err := all[(i+j)%len(all)].measure(ctx, rate); err != nil {
					return outcome, err
				}
			}
			fmt.Fprintf(o.Progress, "round %d/%d, %d/s, p99:%s\n", i+1, o.Trials, rate, lastP99s(all, rate))
		}
	}
	return o.compareLatencies(all, rates), nil
}

func lastP99s(all []*paced, rate int) (text string) {
	for _, p := range all {
		p99s := p.at[rate].p99s
		text += fmt.Sprintf(" %s %.2f ms", p.name, p99s[len(p99s)-1])
	}
	return text
}

func (p *paced) measure(ctx context.Context, rate int) error {
	sample, err := p.keepUp(ctx, rate, steady)
	if err != nil {
		return err
	}
	at := p.at[rate]
	at.all, at.p99s = append(at.all, sample...), append(at.p99s, sample.Quantile(0.99))
	return nil
}

// keepUp sends requests at a rate, whether those before are answered or not. A latency begins when its request is sent.
func (p *paced) keepUp(ctx context.Context, rate int, d time.Duration) (sample Sample, err error) {
	attacker := vegeta.NewAttacker(vegeta.Connections(100), vegeta.HTTP2(false), vegeta.Timeout(5*time.Second))
	defer context.AfterFunc(ctx, func() { attacker.Stop() })()
	target := vegeta.NewStaticTargeter(vegeta.Target{Method: http.MethodGet, URL: "http://" + p.front + "/zato/ping"})
	for result := range attacker.Attack(target, vegeta.Rate{Freq: rate, Per: time.Second}, d, p.name) {
		if err == nil && (result.Error != "" || result.Code != http.StatusOK) {
			err = fmt.Errorf("%s at %d requests a second: %d %s", p.name, rate, result.Code, result.Error)
		}
		sample.add(result.Latency)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return sample, err
}

func (o Options) compareLatencies(all []*paced, rates []int) Outcome {
	page := report.New("Latency", o.Circumstances)
	page.Paragraph(fmt.Sprintf("GET /zato/ping at fixed rates over keep-alive connections by vegeta, which does not wait for answers "+
		"before it sends more; %s for each measurement, %d rounds in which all have their turn. Median, p99 and worst are of all "+
		"requests, from when each was sent; a machine that is too busy to send them all in time reaches less than the rate. Ratios are those of a round's p99 to that of static in the same round. \"static again\" is the twin of "+
		"static, whose ratio is the scatter of the machine; \"bare\" has `check` and nothing else. There is no pass line.", steady, o.Trials))
	var rows [][]string
	summary := "p99 to that of static, by pairs:"
	for _, rate := range rates {
		static := all[1].at[rate]
		for _, p := range all {
			at := p.at[rate]
			ratio := ratios(at.p99s, static.p99s)
			reached := float64(len(at.all)) / (steady.Seconds() * float64(len(at.p99s)))
			rows = append(rows, append(append([]string{fmt.Sprintf("%d/s", rate), p.name, fmt.Sprintf("%.0f/s", reached)}, at.all.cells()...),
				fmt.Sprintf("%.3f (%.3f … %.3f)", ratio.Quantile(0.5), ratio.Quantile(0.1), ratio.Quantile(0.9))))
		}
		summary += fmt.Sprintf(" %.2f at %d/s (control %.2f),", ratios(all[0].at[rate].p99s, static.p99s).Quantile(0.5),
			rate, ratios(all[2].at[rate].p99s, static.p99s).Quantile(0.5))
	}
	page.Table([]string{"rate", "", "reached", "n", "median", "p99", "worst", "p99 to static's, by pairs: median (10 % … 90 %)"}, rows)
	page.Plot(latencyChart(all, rates))
	summary += fmt.Sprintf(" n = %d pairs", o.Trials)
	page.Paragraph(summary)
	return Outcome{page, true, summary}
}

// latencyChart leaves out the control.
func latencyChart(all []*paced, rates []int) report.Chart {
	chart := report.Chart{Title: "Latency at fixed rates", X: report.Axis{Label: "requests/s", Log: true}, Y: report.Axis{Label: "ms", Log: true}}
	for _, quantile := range []struct {
		name string
		q    float64
	}{{"median", 0.5}, {"p99", 0.99}} {
		for _, p := range []*paced{all[0], all[1], all[3]} {
			series := report.Series{Name: p.name + ", " + quantile.name, Line: true}
			for _, rate := range rates {
				series.Points = append(series.Points, report.Point{X: float64(rate), Y: p.at[rate].all.Quantile(quantile.q)})
			}
			chart.Series = append(chart.Series, series)
		}
	}
	return chart
}
