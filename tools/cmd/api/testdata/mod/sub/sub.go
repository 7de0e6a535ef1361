package sub

type Thing struct{ ID int }

func (*Thing) Touch() {}
