package studyfile_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nereid-mhe/nereid/identity"
	"github.com/nereid-mhe/nereid/nn"
	"github.com/nereid-mhe/nereid/roster"
	"github.com/nereid-mhe/nereid/study"
	"github.com/nereid-mhe/nereid/studyfile"
)

// agreed is a study of two named parties and a querier.
const agreed = `version: 1
name: heart
model: {kind: logistic}
data: {label: y, features: [a, b, c]}
training: {epochs: 2}
parties:
  roster: [{name: north, rows: 20}, {name: south, rows: 15}]
  fanout: 1
opening: {queriers: [{name: lab, rows: 10}]}
`

var beacon = [32]byte{7}

// people are the identities of agreed, and somebody else.
type people struct{ north, south, lab, west *identity.Identity }

func newPeople(t testing.TB) people {
	t.Helper()
	person := func(name string, role identity.Role) *identity.Identity {
		c := identity.Card{Name: name, Role: role}
		if role == identity.Party {
			c.Address = name + ".example.org:7000"
		}
		id, err := identity.New(c)
		require.NoError(t, err)
		return id
	}
	return people{person("north", identity.Party), person("south", identity.Party), person("lab", identity.Querier), person("west", identity.Party)}
}

func invite(t testing.TB, text string, founder *identity.Identity) roster.Invitation {
	t.Helper()
	f := parsed(t, []byte(text))
	s, err := roster.NewStudy(f.Name, f.Canonical())
	require.NoError(t, err)
	i, err := roster.Invite(s, founder)
	require.NoError(t, err)
	return i
}

// approve returns the roster of an invitation with the requests of members.
func approve(t testing.TB, i roster.Invitation, key [32]byte, members ...*identity.Identity) roster.Roster {
	t.Helper()
	r := roster.New(i)
	for _, id := range members {
		q := i.Join(id, identity.Digest{})
		if id.Card().Role == identity.Querier {
			q = i.Join(id, key)
		} else if id.Card().Name != "west" && key != [32]byte{} {
			joined, err := studyfile.Join(t.Context(), studyfile.Toy, i, id)
			require.NoError(t, err)
			require.Equal(t, q, joined)
		}
		var err error
		r, err = r.Approve(q)
		require.NoError(t, err)
	}
	return r
}

func queryKey(t testing.TB, id *identity.Identity, i roster.Invitation) [32]byte {
	t.Helper()
	key, err := studyfile.QueryKey(t.Context(), studyfile.Toy, id, i)
	require.NoError(t, err)
	return key
}

func TestLocked(t *testing.T) {
	p := newPeople(t)
	i := invite(t, agreed, p.south) // not the root
	key := queryKey(t, p.lab, i)
	l, err := studyfile.Lock(t.Context(), studyfile.Toy, approve(t, i, key, p.lab, p.north), beacon)
	require.NoError(t, err)
	b, err := l.Encode()
	require.NoError(t, err)
	l, err = roster.ParseLock(b)
	require.NoError(t, err)
	require.Equal(t, "north", l.Parties()[0].Name)
	require.Equal(t, 1, l.Fanout())

	f, terms, err := studyfile.Locked(t.Context(), studyfile.Toy, l)
	require.NoError(t, err)
	require.Equal(t, parsed(t, []byte(agreed)), f)
	require.Equal(t, string(l.Plan()), string(terms.Canonical()))
	require.Equal(t, beacon, terms.Beacon())
	require.Equal(t, study.Declared{Features: 3, Rows: []int{20, 15}}, terms.Declared())
	require.Equal(t, study.Policy{{Querier: "lab", Key: key, Rows: 10, Requests: 1}}, terms.Policy())
	require.Equal(t, 2, terms.Tree().Parties())

	// The querier of the lock has the key that it joined with, and another study's
	// querier another.
	q, err := study.NewQuerier(terms, "lab", studyfile.QuerierSeed(p.lab, i))
	require.NoError(t, err)
	require.Equal(t, key, q.Pin())
	require.NotEqual(t, key, queryKey(t, p.lab, invite(t, agreed, p.north)))

	_, _, err = studyfile.Locked(t.Context(), studyfile.Secure, l)
	require.ErrorIs(t, err, studyfile.ErrMismatch)
	require.ErrorContains(t, err, `crypto plan, line 5: found "insecure true"; the study says "insecure false"`)
}

// A founder can lock anything with a right hash; who computes it again finds out.
func TestLocksOfAnOddFounder(t *testing.T) {
	p := newPeople(t)
	i := invite(t, agreed, p.north)
	key := queryKey(t, p.lab, i)
	all := approve(t, i, key, p.south, p.lab)
	good, err := studyfile.Lock(t.Context(), studyfile.Toy, all, beacon)
	require.NoError(t, err)
	plan := string(good.Plan())
	order := []string{"north", "south"}
	for name, tt := range map[string]struct {
		roster roster.Roster
		terms  roster.Terms
		want   string
	}{
		"order":       {all, roster.Terms{Fanout: 1, Order: []string{"south", "north"}, Plan: []byte(plan)}, "parties: found south, north; the study says north, south"},
		"fan-out":     {all, roster.Terms{Fanout: 2, Order: order, Plan: []byte(plan)}, "fan-out: found 2; the study says 1"},
		"plan":        {all, roster.Terms{Fanout: 1, Order: order, Plan: []byte(strings.Replace(plan, "rows opened 10", "rows opened 99", 1))}, `found "rows opened 99"; the study says "rows opened 10"`},
		"longer plan": {all, roster.Terms{Fanout: 1, Order: order, Plan: []byte(plan + "more")}, `found "more"; the study says ""`},
		"no plan":     {all, roster.Terms{Fanout: 1, Order: order, Plan: []byte("nereid study terms v1")}, `line 2: found no such line; the study says "name`},
		"more":        {approve(t, i, key, p.south, p.lab, p.west), roster.Terms{Fanout: 1, Plan: []byte(plan)}, "parties: found north, south, west; the study says north, south"},
		"other key":   {approve(t, i, [32]byte{1}, p.south, p.lab), roster.Terms{Fanout: 1, Plan: []byte(plan)}, "crypto plan, line 20: found \"key "},
		"no key":      {approve(t, i, [32]byte{}, p.south, p.lab), roster.Terms{Fanout: 1, Plan: []byte(plan)}, "request of the querier lab: found no key for predictions"},
		"no querier":  {approve(t, i, key, p.south), roster.Terms{Fanout: 1, Plan: []byte(plan)}, "queriers: found nobody; the study says lab"},
	} {
		t.Run(name, func(t *testing.T) {
			tt.terms.Beacon = beacon
			l, err := tt.roster.Lock(tt.terms)
			require.NoError(t, err)
			_, _, err = studyfile.Locked(t.Context(), studyfile.Toy, l)
			require.ErrorIs(t, err, studyfile.ErrMismatch)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestLockWantsWhomTheFileNames(t *testing.T) {
	p := newPeople(t)
	i := invite(t, agreed, p.north)
	key := queryKey(t, p.lab, i)
	for want, r := range map[string]roster.Roster{
		"parties: found north; the study says north, south":              approve(t, i, key, p.lab),
		"parties: found west, north, south; the study says north, south": approve(t, i, key, p.lab, p.south, p.west),
		"queriers: found nobody; the study says lab":                     approve(t, i, key, p.south),
		"request of the querier lab: found no key for predictions":       approve(t, i, [32]byte{}, p.south, p.lab),
	} {
		_, err := studyfile.Lock(t.Context(), studyfile.Toy, r, beacon)
		require.ErrorIs(t, err, studyfile.ErrMismatch)
		require.ErrorContains(t, err, want)
	}

	_, err := studyfile.QueryKey(t.Context(), studyfile.Toy, p.south, i)
	require.ErrorContains(t, err, "queriers: found the party south; the study says lab")
	_, err = studyfile.Join(t.Context(), studyfile.Toy, i, p.west)
	require.ErrorContains(t, err, "parties: found the party west; the study says north, south")
	for _, id := range []*identity.Identity{p.lab, p.west} {
		_, err = studyfile.Invite(t.Context(), studyfile.Toy, parsed(t, []byte(agreed)), id)
		require.ErrorIs(t, err, studyfile.ErrMismatch)
	}

	// Without a roster in the file, any parties of the right number.
	counted := strings.Replace(agreed, "roster: [{name: north, rows: 20}, {name: south, rows: 15}]", "count: 2", 1)
	counted = strings.Replace(counted, "epochs: 2", "steps: 2, batch: 9", 1)
	i = invite(t, counted, p.west)
	key = queryKey(t, p.lab, i)
	l, err := studyfile.Lock(t.Context(), studyfile.Toy, approve(t, i, key, p.lab, p.south), beacon)
	require.NoError(t, err)
	_, terms, err := studyfile.Locked(t.Context(), studyfile.Toy, l)
	require.NoError(t, err)
	require.Equal(t, []int{9, 9}, terms.Declared().Rows)
	_, err = studyfile.Lock(t.Context(), studyfile.Toy, approve(t, i, key, p.lab, p.south, p.north), beacon)
	require.ErrorContains(t, err, "number of parties: found 3; the study says 2")

	for name, content := range map[string]string{"heart": agreed, "liver": string(parsed(t, []byte(agreed)).Canonical()), "x": "no study"} {
		s, err := roster.NewStudy(name, []byte(content))
		require.NoError(t, err)
		i, err := roster.Invite(s, p.north)
		require.NoError(t, err)
		_, err = studyfile.Lock(t.Context(), studyfile.Toy, roster.New(i), beacon)
		require.ErrorIs(t, err, studyfile.ErrFile, "not the canonical form")
	}
}

// What simulations find in the data, the file must say.
func TestTermsNeedDeclarations(t *testing.T) {
	for name, tt := range map[string]struct {
		old, new string
		want     []string // fields
	}{
		"features": {", features: [a, b, c]", "", []string{"data.feature_count"}},
		"secret":   {", rows: 15", "", []string{"training.epochs", "training.batch"}},
		"batch":    {"epochs: 2", "epochs: 2, batch: 5", nil},
		"steps":    {"epochs: 2", "steps: 2", nil},
		"queriers": {"[{name: lab, rows: 10}]", "[{name: lab, rows: 10}, {name: ward, rows: 1}]", nil},
		"insecure": {"fanout: 1\n", "fanout: 1\nsimulate: {insecure: true}\n", []string{"simulate.insecure"}},
		"bound":    {"kind: logistic", "kind: linear", []string{"data.target_bound"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, agreed, tt.old)
			f := parsed(t, []byte(strings.Replace(agreed, tt.old, tt.new, 1)))
			_, err := f.Terms(t.Context(), studyfile.Secure, nil, beacon)
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, studyfile.ErrFile)
			for _, field := range tt.want {
				require.ErrorContains(t, err, field+": found ")
			}
			require.Len(t, strings.Split(err.Error(), "\n"), len(tt.want))
		})
	}
	f := parsed(t, []byte(agreed))
	terms, err := f.Terms(t.Context(), studyfile.Secure, nil, beacon)
	require.NoError(t, err)
	require.True(t, terms.Parameters().Secure())
	f.Simulate = studyfile.NewSimulate()
	f.Simulate.Insecure = true
	terms, err = f.Terms(t.Context(), studyfile.Toy, nil, beacon)
	require.NoError(t, err)
	require.False(t, terms.Parameters().Secure())
}

// What is planned and forecast for the rows and requests of several queriers is what is
// locked: plan, noise of the answers, memory and times.
func TestPlanOfRequestsIsThatOfTheLock(t *testing.T) {
	if testing.Short() {
		t.Skip("searches take seconds")
	}
	const opening = "opening: {queriers: [{name: a, rows: 5, requests: 900}, {name: b, rows: 7}]}\n"
	f := parsed(t, []byte(layered+"training: {steps: 2, batch: 20}\n"+opening))
	terms, err := f.Terms(t.Context(), studyfile.Secure, nil, beacon)
	require.NoError(t, err)
	r, err := f.PlanRequest()
	require.NoError(t, err)
	search, err := nn.PlanNetwork(t.Context(), r)
	require.NoError(t, err)
	best := search.Best()
	require.Equal(t, best.Plan.Hash(), terms.PlanHash())
	require.Equal(t, 901, best.Openings)
	noise, err := terms.OutputNoise()
	require.NoError(t, err)
	require.Equal(t, best.Noise, noise)
	require.Equal(t, best.Price.Memory.Total, terms.Needs().Memory)
	host := study.Typical(nn.DefaultCosts(), study.Link{Mbit: r.Link.Mbit, Latency: r.Link.Latency})
	got, err := f.Forecast(best.Plan, host)
	require.NoError(t, err)
	require.Equal(t, terms.Forecast(host), got)
	f.Opening.Queriers[0].Requests = 1
	less, err := f.Forecast(best.Plan, host)
	require.NoError(t, err)
	require.Greater(t, got.Predict.Seconds, 100*less.Predict.Seconds, "every request is a round")
}

func TestTermsOfNetworks(t *testing.T) {
	f := parsed(t, []byte(layered+"training: {steps: 2, batch: 20}\n"))
	terms, err := f.Terms(t.Context(), studyfile.Toy, nil, beacon)
	require.NoError(t, err)
	require.Equal(t, study.Declared{Features: 3, Rows: []int{20, 20, 20}}, terms.Declared())
	require.Equal(t, study.Policy(nil), terms.Policy())
	if testing.Short() {
		t.Skip("searches take seconds")
	}
	terms, err = f.Terms(t.Context(), studyfile.Secure, nil, beacon)
	require.NoError(t, err)
	r, err := f.PlanRequest()
	require.NoError(t, err)
	search, err := nn.PlanNetwork(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, search.Best().Plan.Hash(), terms.PlanHash())
}

// The canonical form is a file of the same study.
func TestCanonicalParses(t *testing.T) {
	for _, text := range []string{agreed, least, layered, string(studyfile.Example(studyfile.Network))} {
		f := parsed(t, []byte(text))
		g := parsed(t, f.Canonical())
		f.Simulate = nil
		require.Equal(t, f, g)
		require.Equal(t, f.Hash(), g.Hash())
	}
}
