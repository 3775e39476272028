package protocols_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/protocols"
)

var verbs = []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U", "%p", "%t", "%08.3f"}

// secretBytes are easy to find in any notation.
var secretBytes = [32]byte(bytes.Repeat([]byte{0xa7}, 32))

// leaks returns the notation in which text shows the secret, "" if none.
func leaks(text string) string {
	for name, part := range map[string]string{
		"raw":     string(secretBytes[:2]),
		"hex":     hex.EncodeToString(secretBytes[:2]),
		"HEX":     strings.ToUpper(hex.EncodeToString(secretBytes[:2])),
		"spaced":  "a7 a7",
		"decimal": "167 167",
		"list":    "167, 167",
		"json":    "167,167",
		"go":      "0xa7, 0xa7",
		"octal":   "247 247",
		"binary":  "10100111 10100111",
		"unicode": "U+00A7 U+00A7",
		"chars":   "§ §",
		"base64":  base64.StdEncoding.EncodeToString(secretBytes[:3]),
	} {
		if strings.Contains(text, part) {
			return name
		}
	}
	return ""
}

type exported struct{ S protocols.Seed }

type unexported struct {
	name string
	s    protocols.Seed
	list []protocols.Seed
	m    map[string]protocols.Seed
	any  any
}

// A seed shows up in no format and no log, however deep it is buried.
func TestSeedDoesNotPrint(t *testing.T) {
	s := protocols.NewSeed(secretBytes)
	require.NotEmpty(t, leaks(fmt.Sprint(secretBytes)), "the check itself")
	require.NotEmpty(t, leaks(fmt.Sprintf("%#v", secretBytes)), "the check itself")
	require.NotEmpty(t, leaks(fmt.Sprintf("%x", secretBytes)), "the check itself")

	inner := unexported{"x", s, []protocols.Seed{s}, map[string]protocols.Seed{"k": s}, s}
	var log bytes.Buffer
	text := slog.New(slog.NewTextHandler(&log, nil))
	js := slog.New(slog.NewJSONHandler(&log, nil))
	for _, v := range []any{s, &s, exported{s}, &exported{s}, inner, &inner, []any{s, &s}, []protocols.Seed{s}, map[string]any{"s": s}, [1]unexported{inner}, fmt.Errorf("with %v", s)} {
		for _, verb := range verbs {
			out := fmt.Sprintf(verb, v)
			require.Empty(t, leaks(out), "%s of %T: %s", verb, v, out)
		}
		text.Info("seed", "v", v, slog.Group("g", "v", v))
		js.Info("seed", "v", v, slog.Group("g", "v", v))
		if b, err := json.Marshal(v); err == nil {
			require.Empty(t, leaks(string(b)), "json of %T", v)
		}
	}
	require.Empty(t, leaks(log.String()))
	require.Equal(t, "[secret]", s.String())
	require.Equal(t, "protocols.Seed{}", s.GoString())

	b, err := json.Marshal(exported{s})
	require.NoError(t, err)
	require.JSONEq(t, `{"S":"[secret]"}`, string(b))
	require.Error(t, json.Unmarshal(b, &exported{}), "a redacted seed must not load")
	var g bytes.Buffer
	if gob.NewEncoder(&g).Encode(exported{s}) == nil {
		require.Empty(t, leaks(g.String()))
	}
}

func TestSeeds(t *testing.T) {
	require.Equal(t, secretBytes, protocols.NewSeed(secretBytes).Reveal())
	a, b := protocols.GenerateSeed().Reveal(), protocols.GenerateSeed().Reveal()
	require.NotEqual(t, a, b)
	require.NotZero(t, a)
	require.Panics(t, func() { protocols.Label{}.Private(protocols.Seed{}) }, "a missing seed must not give known masks")
}
