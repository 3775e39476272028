package protocols_test

// pinned holds values of formats that must not change. The first four were also
// computed by an independent program (Python hashlib and OpenSSL). A change here
// is a new version of the format, with a new domain string.
var pinned = map[string]string{
	"point":   "fd1ca049307ec139a5741b92086c6801f72858e4fea5aaea56b80e23abd9d0f2",
	"label":   "b2e1d62462d3af97dd718e45cf53d500ff81ca5dd989f82c9d9acf411dfd5ef0",
	"common":  "52234114640b9c0d2c5714397d309664",
	"private": "4a94433f75a0244b23739ac29e2d9068",
	"sub":     "0265644edfb8fa2b311d75e9cedc2428",
}
