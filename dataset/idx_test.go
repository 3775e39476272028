package dataset_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/nereid-mhe/nereid/dataset"
	"github.com/stretchr/testify/require"
)

// idx returns an idx file with the given magic number and sizes.
func idx(magic uint32, sizes []uint32, data ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, magic)
	for _, s := range sizes {
		b = binary.BigEndian.AppendUint32(b, s)
	}
	return append(b, data...)
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

// writeIDX writes the two files and returns their paths.
func writeIDX(t testing.TB, dir string, images, labels []byte) (imagesPath, labelsPath string) {
	t.Helper()
	imagesPath, labelsPath = filepath.Join(dir, "images"), filepath.Join(dir, "labels")
	require.NoError(t, os.WriteFile(imagesPath, images, 0o600))
	require.NoError(t, os.WriteFile(labelsPath, labels, 0o600))
	return imagesPath, labelsPath
}

// Three images of 1×2 pixels and their labels.
var (
	images = idx(2051, []uint32{3, 1, 2}, 0, 51, 102, 153, 204, 255)
	labels = idx(2049, []uint32{3}, 7, 0, 255)
)

func TestReadIDX(t *testing.T) {
	for name, files := range map[string][2][]byte{
		"plain":      {images, labels},
		"compressed": {gzipped(t, images), gzipped(t, labels)},
		"mixed":      {images, gzipped(t, labels)},
	} {
		t.Run(name, func(t *testing.T) {
			X, y, err := dataset.ReadIDX(writeIDX(t, t.TempDir(), files[0], files[1]))
			require.NoError(t, err)
			require.Equal(t, [][]float64{{0, 0.2}, {0.4, 0.6}, {0.8, 1}}, X)
			require.Equal(t, []int{7, 0, 255}, y)
		})
	}
}

func TestReadIDXErrors(t *testing.T) {
	const most = 1<<32 - 1
	packed := gzipped(t, images)
	flipped := bytes.Clone(packed)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	garbled := bytes.Clone(packed)
	garbled[10] = 0xff // reserved block type
	for _, tt := range []struct {
		name           string
		images, labels []byte
		file           string
		problem        string
	}{
		{"empty", nil, labels, "images", "ends before or within the header"},
		{"no sizes", idx(2051, nil), labels, "images", "ends before or within the header"},
		{"exchanged", labels, images, "labels", "magic number is 2051, want 2049"},
		{"other type", idx(0x0d03, []uint32{1, 1, 1}), labels, "images", "magic number is 3331"},
		{"no items", idx(2051, []uint32{0, 1, 1}), labels, "images", "0 items"},
		{"no pixels", idx(2051, []uint32{3, 0, 5}), labels, "images", "3 items of 0 bytes"},
		{"many items", idx(2051, []uint32{most, 28, 28}), labels, "images", "4294967295 items of 784 bytes"},
		{"many labels", images, idx(2049, []uint32{most}, 1, 2), "labels", "4294967295 items of 1 bytes"},
		{"huge images", idx(2051, []uint32{1, most, most}), labels, "images", "items of 18446744065119617025 bytes"},
		{"large images", idx(2051, []uint32{1, 1 << 11, 1 << 10}), labels, "images", "1 items of 2097152 bytes"},
		{"cut at an item", images[:len(images)-2], labels, "images", "item 3 of 3"},
		{"cut in an item", images[:len(images)-3], labels, "images", "item 2 of 3"},
		{"many claimed, few there", idx(2051, []uint32{1 << 20, 1, 2}, 0, 0), labels, "images", "item 2 of 1048576"},
		{"longer", append(bytes.Clone(images), 0), labels, "images", "more in the file than the 3 items"},
		{"more labels", images, idx(2049, []uint32{4}, 1, 2, 3, 4), "images", "3 images, but 4 labels"},
		{"gzip header cut", packed[:5], labels, "images", "ends before or within the gzip header"},
		{"gzip header wrong", []byte{0x1f, 0x8b, 9, 0, 0, 0, 0, 0, 0, 0}, labels, "images", "damaged at the gzip header"},
		{"gzip body cut", packed[:len(packed)-12], labels, "images", "ends before or within"},
		{"gzip trailer cut", packed[:len(packed)-3], labels, "images", "ends before or within the end"},
		{"gzip checksum", flipped, labels, "images", "checksum"},
		{"gzip body damaged", garbled, labels, "images", "damaged at the header"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			X, y, err := dataset.ReadIDX(writeIDX(t, dir, tt.images, tt.labels))
			var e *dataset.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, filepath.Join(dir, tt.file), e.File)
			require.Contains(t, e.Problem, tt.problem)
			require.NotEmpty(t, e.Remedy)
			require.Nil(t, X)
			require.Nil(t, y)
		})
	}
}

func TestReadIDXFailures(t *testing.T) {
	dir := t.TempDir()
	imagesPath, labelsPath := writeIDX(t, dir, images, labels)
	absent := filepath.Join(dir, "absent")
	_, _, err := dataset.ReadIDX(absent, labelsPath)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, _, err = dataset.ReadIDX(imagesPath, absent)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, _, err = dataset.ReadIDX(dir, labelsPath)
	require.ErrorContains(t, err, dir)
}
