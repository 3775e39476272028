package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// checkNode wants a command line that nereid node takes: arguments after the name
// of the program. It returns the flags.
func checkNode(t *testing.T, args []string) *pflag.FlagSet {
	t.Helper()
	c, rest, err := newRoot().Find(args)
	require.NoError(t, err)
	require.Equal(t, "nereid node", c.CommandPath(), args)
	require.NoError(t, c.ParseFlags(rest), args)
	require.NoError(t, c.ValidateArgs(c.Flags().Args()))
	for _, needed := range []string{"lock", "identity", "passphrase-file", "data", "dir"} {
		require.True(t, c.Flags().Changed(needed), "%s is missing in %q", needed, args)
	}
	require.False(t, c.Flags().Changed("insecure"), args)
	return c.Flags()
}

// flagValue returns a flag's text.
func flagValue(t *testing.T, f *pflag.FlagSet, name string) string {
	t.Helper()
	v, err := f.GetString(name)
	require.NoError(t, err)
	return v
}

func TestDeploySystemd(t *testing.T) {
	b, err := os.ReadFile("../../deploy/systemd/nereid-node.service")
	require.NoError(t, err)
	unit, section := map[string]map[string][]string{}, ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if name, ok := strings.CutPrefix(line, "["); ok {
			section, ok = strings.CutSuffix(name, "]")
			require.True(t, ok, line)
			require.NotContains(t, unit, section)
			unit[section] = map[string][]string{}
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		require.True(t, ok, line)
		require.NotEmpty(t, section, line)
		unit[section][key] = append(unit[section][key], value)
	}
	require.Len(t, unit, 3)
	require.Equal(t, []string{"multi-user.target"}, unit["Install"]["WantedBy"])
	require.NotEmpty(t, unit["Unit"]["Description"])
	service := unit["Service"]
	require.Equal(t, []string{"2 3 4 5"}, service["RestartPreventExitStatus"])
	require.Len(t, service["ExecStart"], 1)
	f := checkNode(t, strings.Fields(service["ExecStart"][0])[1:])
	require.Equal(t, "${STATE_DIRECTORY}", flagValue(t, f, "dir"))
	for _, name := range []string{"lock", "identity", "passphrase-file", "data"} {
		file, ok := strings.CutPrefix(flagValue(t, f, name), "${CREDENTIALS_DIRECTORY}/")
		require.True(t, ok, name)
		require.True(t, slices.ContainsFunc(service["LoadCredential"], func(c string) bool { return strings.HasPrefix(c, file+":") }), "no credential %s", file)
	}
}

// systemd itself finds nothing to say about the unit. Where it is missing, or cannot tell,
// there is nothing to learn.
func TestDeploySystemdVerifies(t *testing.T) {
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze on this host")
	}
	b, err := os.ReadFile("../../deploy/systemd/nereid-node.service")
	require.NoError(t, err)
	verify := func(text string) string {
		const installed = "/usr/local/bin/nereid" // it is not, here
		require.Contains(t, text, installed)
		self, err := os.Executable()
		require.NoError(t, err)
		unit := filepath.Join(t.TempDir(), "nereid-node.service")
		require.NoError(t, os.WriteFile(unit, []byte(strings.ReplaceAll(text, installed, self)), 0o600))
		out, err := exec.CommandContext(t.Context(), program, "verify", "--man=no", "--generators=no", unit).CombinedOutput()
		if err != nil {
			t.Logf("%v", err)
		}
		return string(out)
	}
	if !strings.Contains(verify(strings.Replace(string(b), "DynamicUser=", "DynamicUsr=", 1)), "DynamicUsr") {
		t.Skip("systemd-analyze does not work on this host")
	}
	require.Empty(t, verify(string(b)))
}

// Whatever the examples and their comments call a command is one.
func TestDeployNamesCommands(t *testing.T) {
	named := regexp.MustCompile("[`\"]nereid ([a-z]+)")
	found := 0
	require.NoError(t, filepath.WalkDir("../../deploy", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range named.FindAllStringSubmatch(string(b), -1) {
			c, _, err := newRoot().Find([]string{m[1]})
			require.NoError(t, err, "%s: %s", path, m[0])
			require.NotEqual(t, "nereid", c.CommandPath(), "%s: %s", path, m[0])
			found++
		}
		return nil
	}))
	require.GreaterOrEqual(t, found, 2)
}

// readYAML decodes the documents of a file. Keys that no field takes are an error.
func readYAML[T any](t *testing.T, path string) (all []T) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	for {
		var v T
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			return all
		} else {
			require.NoError(t, err, path)
		}
		all = append(all, v)
	}
}

type composeFile struct {
	Name     string
	Node     any `yaml:"x-node"`
	Services map[string]struct {
		Image    string
		Init     bool
		Restart  string
		ReadOnly bool `yaml:"read_only"`
		User     string
		Drop     []string `yaml:"cap_drop"`
		Options  []string `yaml:"security_opt"`
		Command  []string
		Expose   []string
		Volumes  []string
		Secrets  []struct{ Source, Target string }
	}
	Volumes map[string]struct{}
	Secrets map[string]struct{ File string }
}

func TestDeployCompose(t *testing.T) {
	all := readYAML[composeFile](t, "../../deploy/compose/compose.yaml")
	require.Len(t, all, 1)
	c := all[0]
	require.Len(t, c.Services, 3)
	for name, s := range c.Services {
		f := checkNode(t, s.Command)
		require.Equal(t, "/state", filepath.Dir(flagValue(t, f, "dir")))
		require.Equal(t, []string{name + "-state:/state"}, s.Volumes)
		require.Contains(t, c.Volumes, name+"-state")
		require.True(t, s.ReadOnly)
		var mounted []string
		for _, secret := range s.Secrets {
			require.Contains(t, c.Secrets, secret.Source)
			require.True(t, strings.HasPrefix(c.Secrets[secret.Source].File, "./"+name+"/"), "%s has %s", name, secret.Source)
			mounted = append(mounted, "/run/secrets/"+secret.Target)
		}
		for _, flag := range []string{"lock", "identity", "passphrase-file", "data"} {
			require.Contains(t, mounted, flagValue(t, f, flag))
		}
	}
}

// A manifest is what of a Kubernetes object is checked.
type manifest struct {
	Version string `yaml:"apiVersion"`
	Kind    string
	Meta    any `yaml:"metadata"`
	Spec    struct {
		Replicas int
		Template struct {
			Spec struct {
				Containers []struct {
					Args   []string
					Mounts []struct {
						Name     string
						Path     string `yaml:"mountPath"`
						ReadOnly bool   `yaml:"readOnly"`
					} `yaml:"volumeMounts"`
					Rest map[string]any `yaml:",inline"`
				}
				Volumes []struct {
					Name string
					Rest map[string]any `yaml:",inline"`
				}
				Rest map[string]any `yaml:",inline"`
			}
			Rest map[string]any `yaml:",inline"`
		}
		Claims []struct {
			Metadata struct{ Name string }
			Spec     struct {
				Modes     []string `yaml:"accessModes"`
				Resources any
			}
		} `yaml:"volumeClaimTemplates"`
		Rest map[string]any `yaml:",inline"`
	}
}

func TestDeployKubernetes(t *testing.T) {
	all := readYAML[manifest](t, "../../deploy/kubernetes/north.yaml")
	var kinds []string
	for _, m := range all {
		kinds = append(kinds, m.Version+" "+m.Kind)
	}
	require.Equal(t, []string{"apps/v1 StatefulSet", "v1 Service", "networking.k8s.io/v1 NetworkPolicy"}, kinds)
	set := all[0].Spec
	require.Equal(t, 1, set.Replicas)
	require.Len(t, set.Claims, 1)
	require.Equal(t, []string{"ReadWriteOncePod"}, set.Claims[0].Spec.Modes)
	require.Len(t, set.Template.Spec.Containers, 1)
	node := set.Template.Spec.Containers[0]
	f := checkNode(t, node.Args)
	kind := map[string]string{set.Claims[0].Metadata.Name: "claim"}
	for _, v := range set.Template.Spec.Volumes {
		for k := range v.Rest {
			kind[v.Name] = k
		}
	}
	for flag, want := range map[string]string{"dir": "claim", "identity": "secret", "passphrase-file": "secret", "data": "secret", "lock": "configMap"} {
		on := ""
		for _, m := range node.Mounts {
			if strings.HasPrefix(flagValue(t, f, flag), m.Path+"/") {
				on = kind[m.Name]
				require.Equal(t, want != "claim", m.ReadOnly, m.Name)
			}
		}
		require.Equal(t, want, on, flag)
	}
}
