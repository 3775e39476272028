package keep
import (
 _ "github.com/tuneinsight/lattigo/v5/he/hefloat"
 _ "github.com/tuneinsight/lattigo/v5/mhe/mhefloat"
 _ "github.com/stretchr/testify/require"
 _ "gonum.org/v1/gonum/mat"
 _ "gonum.org/v1/gonum/stat"
 _ "pgregory.net/rapid"
 _ "go.etcd.io/bbolt"
 _ "github.com/spf13/cobra"
 _ "github.com/rogpeppe/go-internal/testscript"
 _ "github.com/vbauerster/mpb/v8"
 _ "golang.org/x/term"
)
