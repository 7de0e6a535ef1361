package basic

func TestPublish() {}

func helper() {}
