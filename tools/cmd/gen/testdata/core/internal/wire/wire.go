package wire

func Hidden() {}
