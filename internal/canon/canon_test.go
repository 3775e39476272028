package canon_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/nereid-mhe/nereid/internal/canon"
)

type note struct {
	canon.Header
	Text  string   `json:"text"`
	Bytes []byte   `json:"bytes"`
	List  []string `json:"list"`
}

var header = canon.Header{Kind: "nereid note", Version: 1}

func TestDecodeRefuses(t *testing.T) {
	good, err := canon.Encode(note{header, "<a & b>", []byte{1, 2, 3}, []string{"x"}})
	require.NoError(t, err)
	require.NoError(t, canon.Decode(good, header, new(note)))
	s := string(good)
	for name, tt := range map[string]struct {
		doc, want   string
		unsupported bool
	}{
		"empty":         {"", "it is no nereid note", false},
		"text":          {"hello", "it is no nereid note", false},
		"list":          {"[]", "it is no nereid note", false},
		"other kind":    {strings.Replace(s, "nereid note", "nereid letter", 1), `it is a "nereid letter"`, false},
		"other version": {strings.Replace(s, `"version": 1`, `"version": 2`, 1), "version 2", true},
		"cut":           {s[:len(s)-1], "is not as it was written", false},
		"longer":        {s + "\n", "is not as it was written", false},
		"second value":  {s + s, "it is no nereid note", false},
		"space":         {strings.Replace(s, ": 1", ":  1", 1), "is not as it was written", false},
		"line ends":     {strings.ReplaceAll(s, "\n", "\r\n"), "is not as it was written", false},
		"escape":        {strings.Replace(s, "<", `\u003c`, 1), "is not as it was written", false},
		"unknown key":   {strings.Replace(s, `"text"`, `"more": 1, "text"`, 1), "unknown field", false},
		"key twice":     {strings.Replace(s, `"text"`, `"text": "", "text"`, 1), "is not as it was written", false},
		"other case":    {strings.Replace(s, `"text"`, `"Text"`, 1), "is not as it was written", false},
		"no key":        {strings.Replace(s, `  "text": "<a & b>",`+"\n", "", 1), "is not as it was written", false},
		"null":          {strings.Replace(s, `"<a & b>"`, "null", 1), "is not as it was written", false},
		"base64 tail":   {strings.Replace(s, "AQID", "AQIDBB==", 1), "is not as it was written", false},
		"bad base64":    {strings.Replace(s, "AQID", "!", 1), "illegal base64", false},
	} {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, s, tt.doc)
			var bad *canon.Error
			require.ErrorAs(t, canon.Decode([]byte(tt.doc), header, new(note)), &bad)
			require.Contains(t, bad.Problem, tt.want)
			require.Equal(t, tt.unsupported, bad.Unsupported)
			require.NotEmpty(t, bad.Remedy)
		})
	}
	require.Equal(t, "nereid note", canon.KindOf(good))
	require.Empty(t, canon.KindOf([]byte("hello")))
}

func TestDecodeRefusesWhatIsTooLarge(t *testing.T) {
	require.ErrorContains(t, canon.Decode(make([]byte, canon.MaxSize+1), header, new(note)), "want at most")
}

// Fields are not joined: moving a byte from one to the next changes the hash.
func TestHashKeepsFieldsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		field := rapid.SliceOfN(rapid.Byte(), 0, 5)
		a, b := rapid.SliceOfN(field, 0, 4).Draw(t, "a"), rapid.SliceOfN(field, 0, 4).Draw(t, "b")
		same := len(a) == len(b)
		for i := range min(len(a), len(b)) {
			same = same && bytes.Equal(a[i], b[i])
		}
		require.Equal(t, same, canon.Hash("d", a...) == canon.Hash("d", b...))
	})
	require.NotEqual(t, canon.Hash("a", []byte("b")), canon.Hash("ab"))
}
