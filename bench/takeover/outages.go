package takeover

import (
	"fmt"
	"time"
)

// outages are for how long Consul is away: in each tenth trial a minute, as what grows with time does not show in less,
// and some seconds in the others, of which there are then enough to tell chance from rule.
type outages struct{ usual, tenth time.Duration }

const oneLong = 10 // of so many

func (o outages) of(trial int) time.Duration {
	if trial%oneLong == oneLong-1 {
		return o.tenth
	}
	return o.usual
}

func (o outages) mean() time.Duration { return ((oneLong-1)*o.usual + o.tenth) / oneLong }

// after tells in a figure's name that it is one of those after the long outages.
func (o outages) after(away time.Duration) string {
	if away == o.usual {
		return ""
	}
	return fmt.Sprintf(", after %v", away)
}

func (o outages) String() string {
	if o.usual == o.tenth {
		return o.usual.String()
	}
	return fmt.Sprintf("%v, each tenth time for %v", o.usual, o.tenth)
}
