module gochan/bench/peers/go

go 1.23
