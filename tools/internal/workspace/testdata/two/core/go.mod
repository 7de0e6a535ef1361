module example.com/x/core

go 1.26.0
