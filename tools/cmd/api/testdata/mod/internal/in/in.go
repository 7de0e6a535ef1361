package in

func Hidden() {}
