package calls

import (
	"fmt"
	stdlog "log"
	"os"
)

func outbursts() {
	panic("no")
	fmt.Println("no")
	stdlog.Printf("no")
	os.Exit(1)
	println("no")
}

func fine() string {
	//perigee:allow cannot happen, and if it does nothing can go on
	panic("yes")
	l := stdlog.New(nil, "", 0)
	l.Println(fmt.Sprint("yes"))
	return ""
}

func bare() {
	//perigee:allow
	panic("no")
}
