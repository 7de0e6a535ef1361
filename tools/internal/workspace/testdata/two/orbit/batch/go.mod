module example.com/x/orbit/batch/v2

go 1.26.0

require (
	example.com/other v1.0.0 // indirect
	example.com/x/core v0.2.0
)
