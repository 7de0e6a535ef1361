package sub

func one() {
	//perigee:allow the next line
	_ = 4 + 1
	_ = 6
	_ = 7 //perigee:allow this line
	//perigee:allow
	_ = 9
}

// two is about the whole function.
//
//perigee:allow all of it
func two() {
	_ = 15
}

func three() {}
