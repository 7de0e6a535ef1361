module example.com/x/mod

go 1.26.0
