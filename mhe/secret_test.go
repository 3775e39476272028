package mhe_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tuneinsight/lattigo/v5/ring"

	"github.com/nereid-mhe/nereid/internal/testkit"
	"github.com/nereid-mhe/nereid/mhe"
)

// residues returns how the first residues of the key would print, in both forms
// that they could be kept in. s·1 is s: the product with the polynomial whose
// residues are all 1 in NTT form.
func residues(t testing.TB, sk mhe.SecretKey) []string {
	t.Helper()
	set := testkit.Toy(t, 2)
	b := mhe.Basis(set, 0)
	ones, s := b.New(), b.New()
	for i := range ones[0] {
		ones[0][i] = 1
	}
	sk.MulAdd(0, s, ones)
	var out []string
	for _, x := range s[0][:16] {
		for _, r := range []uint64{x, ring.MForm(x, b[0].Modulus, b[0].BRedConstant)} {
			out = append(out, fmt.Sprint(r), fmt.Sprintf("%x", r), fmt.Sprintf("%X", r), fmt.Sprintf("%o", r))
		}
	}
	return out
}

// MulSub takes away what MulAdd adds.
func TestSecretKeyMulSub(t *testing.T) {
	set := testkit.Toy(t, 2)
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(t, err)
	b := mhe.Basis(set, 3)
	x, acc := b.New(), b.New()
	require.NoError(t, b.Uniform(testkit.Source("x")(""), x))
	sk.MulAdd(3, acc, x)
	require.NotEqual(t, b.New(), acc)
	sk.MulSub(3, acc, x)
	require.Equal(t, b.New(), acc)
}

// A secret key prints nothing of itself, under any verb, however deep it sits, in
// logs and in JSON.
func TestSecretKeyNeverPrints(t *testing.T) {
	set := testkit.Toy(t, 2)
	sk, err := mhe.NewSecretKey(set, testkit.Source("sk")(""))
	require.NoError(t, err)
	secret := residues(t, sk)

	type holder struct {
		Name   string
		Public mhe.SecretKey
		hidden mhe.SecretKey
	}
	type nest struct {
		h     holder
		p     *holder
		keys  []mhe.SecretKey
		byID  map[int]mhe.SecretKey
		iface any
	}
	h := holder{"party", sk, sk}
	values := map[string]any{
		"key": sk, "pointer": &sk, "holder": h, "pointer to holder": &h,
		"slice": []mhe.SecretKey{sk}, "map": map[string]mhe.SecretKey{"k": sk}, "any": []any{sk, h},
		"nest": nest{h, &h, []mhe.SecretKey{sk}, map[int]mhe.SecretKey{1: sk}, sk}, "array": [1]holder{h},
	}
	safe := func(what, s string) {
		t.Helper()
		require.Less(t, len(s), 2000, "%s prints too much: %.100s", what, s)
		for _, r := range secret {
			require.False(t, strings.Contains(s, r), "%s prints a residue of the key: %.100s", what, s)
		}
	}
	for name, v := range values {
		for _, verb := range "vTtbcdoOqxXUeEfFgGspwyz!" {
			for _, flags := range []string{"", "+", "#", " ", "-20.3", "0"} {
				format := "%" + flags + string(verb)
				safe(name+" "+format, fmt.Sprintf(format, v))
			}
		}
		safe(name+" Print", fmt.Sprint(v)+fmt.Sprintln(v))
		safe(name+" error", fmt.Errorf("failed with %v", v).Error())
		for _, replace := range []func([]string, slog.Attr) slog.Attr{nil, func(_ []string, a slog.Attr) slog.Attr { return a }} {
			var out bytes.Buffer
			opts := &slog.HandlerOptions{ReplaceAttr: replace}
			slog.New(slog.NewTextHandler(&out, opts)).With("a", v).Info("m", "k", v, slog.Group("g", "k", v))
			slog.New(slog.NewJSONHandler(&out, opts)).With("a", v).Info("m", "k", v, slog.Group("g", "k", v))
			safe(name+" slog", out.String())
		}
		b, err := json.Marshal(v)
		require.NoError(t, err, name)
		safe(name+" json", string(b))
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x", "%q"} {
		require.Equal(t, "[secret]", fmt.Sprintf(verb, sk))
		require.Equal(t, "[secret]", fmt.Sprintf(verb, &sk))
	}
	require.Equal(t, "[secret]", sk.String())
	require.Equal(t, "mhe.SecretKey{}", sk.GoString())
	require.Equal(t, "[secret]", sk.LogValue().String())
	b, err := json.Marshal(map[string]any{"sk": sk})
	require.NoError(t, err)
	require.JSONEq(t, `{"sk":"[secret]"}`, string(b))
	require.Equal(t, "[secret]", errors.Unwrap(fmt.Errorf("%w", fmt.Errorf("%v", sk))).Error())
	require.Equal(t, "[secret]", fmt.Sprint(mhe.SecretKey{}), "the zero value prints as well")
}
