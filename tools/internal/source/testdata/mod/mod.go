package mod

import (
	"fmt"
	clock "time"
)

var _ = fmt.Sprint(clock.Now())
