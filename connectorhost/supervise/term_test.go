package supervise

import (
	"os"
	"sync"
	"syscall"
	"testing"
)

func TestATermHoldsForOneEpoch(t *testing.T) {
	parent, err := newTerm()
	if err != nil {
		t.Fatal(err)
	}
	defer parent.close()
	child, err := openTerm(parent.file, syscall.PROT_READ)
	if err != nil {
		t.Fatal(err)
	}
	defer child.close()
	holds := func(epoch uint64, want int64) {
		t.Helper()
		if got := child.until(epoch); got != want {
			t.Errorf("children of epoch %d may act until %d, want %d", epoch, got, want)
		}
	}
	holds(1, 0)
	parent.set(1, 100)
	holds(1, 100)
	holds(2, 0)
	parent.set(1, 200)
	holds(1, 200)
	parent.set(2, 300)
	holds(1, 0)
	holds(2, 300)
	if size, err := parent.file.Stat(); err != nil || size.Size() != int64(os.Getpagesize()) {
		t.Errorf("the memory is %v, %v", size, err)
	}
}

// Each time names the epoch that it was set for.
func TestNobodySeesTheTimeOfAnotherEpoch(t *testing.T) {
	shared := &term{words: &words{}}
	var writing sync.WaitGroup
	writing.Go(func() {
		for epoch := range uint64(20_000) {
			shared.set(epoch, int64(epoch))
			shared.set(epoch, int64(epoch))
		}
	})
	for epoch := range uint64(20_000) {
		for range 3 {
			if until := shared.until(epoch); until != 0 && until != int64(epoch) {
				t.Fatalf("epoch %d got the time %d", epoch, until)
			}
		}
	}
	writing.Wait()
}
