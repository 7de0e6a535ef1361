package wire

func FuzzParse() {}
