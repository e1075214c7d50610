package main

import (
	"errors"
	"runtime"
	"runtime/debug"
	"time"
)

const (
	moduleOcicrypt = "github.com/containers/ocicrypt"
	moduleGoJose   = "github.com/go-jose/go-jose/v4"
)

// versions is the content of VERSIONS.json: what made the vectors beside it.
type versions struct {
	Go       string `json:"go"`
	Ocicrypt string `json:"ocicrypt"`
	GoJose   string `json:"go-jose"`
	Date     string `json:"date"`
	Command  string `json:"command"`
}

func currentVersions() (versions, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions{}, errors.New("the program has no build information")
	}
	v := versions{
		Go:      runtime.Version(),
		Date:    time.Now().UTC().Format(time.DateOnly),
		Command: "go run . generate",
	}
	for _, module := range info.Deps {
		switch module.Path {
		case moduleOcicrypt:
			v.Ocicrypt = module.Version
		case moduleGoJose:
			v.GoJose = module.Version
		}
	}
	return v, nil
}
