package calls

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSleeps(t *testing.T) {
	time.Sleep(1)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(2)
	})
	time.Sleep(3) //perigee:allow measures the real clock
}

// inBubble is called inside synctest.Test only.
//
//perigee:allow fake clock
func inBubble() {
	time.Sleep(4)
	panic("tests may")
}
