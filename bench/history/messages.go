package history

// Repeated counts the effects that were there before, by connector and message.
func Repeated(effects []Effect) (n int) {
	again(effects, func(Effect, Effect) { n++ })
	return n
}

// again calls each with every effect of a message that had one before, and the first of these.
func again(effects []Effect, each func(first, repeated Effect)) {
	type message struct{ connector, name string }
	firsts := map[message]Effect{}
	for _, e := range sorted(effects) {
		m := message{e.Connector, e.Message}
		if first, seen := firsts[m]; seen {
			each(first, e)
		} else {
			firsts[m] = e
		}
	}
}

// CheckRepeated counts the effects of a connector that were there before, and finds those of them that should have been
// no such: that the broker did not mark as redelivered, or that came by another ID, or that were marked and that the
// process of a server ran though it had run the message before, which it is to know. Messages that were published twice
// are left out.
func CheckRepeated(effects []Effect, connector string, published func(message string) (twice bool)) (n int, faults []Fault) {
	ran := map[string]Effect{} // by server and message, the first
	for _, e := range sorted(effects) {
		if e.Connector != connector || published(e.Message) {
			continue
		}
		key := e.Server + " " + e.Message
		before, known := ran[key]
		if known && e.Redelivered {
			faults = append(faults, Fault{Kind: RanTwice, First: before.String(), Second: e.String()})
		} else if !known {
			ran[key] = e
		}
	}
	again(effects, func(first, repeated Effect) {
		if repeated.Connector != connector || published(repeated.Message) {
			return
		}
		n++
		if !repeated.Redelivered || repeated.ID != first.ID {
			faults = append(faults, Fault{Kind: Unmarked, First: first.String(), Second: repeated.String()})
		}
	})
	return n, faults
}

// Count is how many faults are of a kind.
func Count(faults []Fault, kind Kind) (n int) {
	for _, f := range faults {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

// CheckOrder finds every effect of a connector that is neither that of the next message nor that of the latest one once
// more. The messages are numbered from 0; one without a number is out of place.
func CheckOrder(effects []Effect, connector string, number func(message string) (n int, ok bool)) (faults []Fault) {
	latest, last := -1, Effect{}
	for _, e := range sorted(effects) {
		if e.Connector != connector {
			continue
		}
		n, ok := number(e.Message)
		if !ok || n != latest+1 && (n != latest || latest < 0) {
			faults = append(faults, Fault{Kind: Disorder, First: last.String(), Second: e.String()})
		}
		if ok {
			latest, last = max(latest, n), e
		}
	}
	return faults
}
