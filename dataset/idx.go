package dataset

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	magicLabels    = 0x0801  // unsigned bytes, one dimension
	magicImages    = 0x0803  // unsigned bytes, three dimensions
	maxImagePixels = 1 << 20 // per image
	maxIDXBytes    = 1 << 28 // per file, uncompressed; 2 GB as float64
)

// ReadIDX reads images and their labels from two files in the idx format of
// MNIST, plain or compressed with gzip (told by their first bytes, not their
// names). X is n×(height·width), row by row, with grey levels 0..255 divided
// by 255; labels has length n with values 0..255.
//
// It returns an [Error] if a file is not of its kind, is shorter or longer
// than its header says, or has no items or too many (images of more than 2^20
// pixels, files of more than 2^28 bytes), and if the counts differ. Memory
// grows with the bytes present, not with what a header claims.
func ReadIDX(imagesPath, labelsPath string) (X [][]float64, labels []int, err error) {
	err = readIDX(labelsPath, magicLabels, func(item []byte) {
		labels = append(labels, int(item[0]))
	})
	if err != nil {
		return nil, nil, err
	}
	var grey [256]float64
	for v := range grey {
		grey[v] = float64(v) / 255
	}
	err = readIDX(imagesPath, magicImages, func(item []byte) {
		x := make([]float64, len(item))
		for i, v := range item {
			x[i] = grey[v]
		}
		X = append(X, x)
	})
	if err != nil {
		return nil, nil, err
	}
	if len(X) != len(labels) {
		return nil, nil, &Error{
			File:    imagesPath,
			Problem: fmt.Sprintf("%d images, but %d labels in %s", len(X), len(labels), printable(labelsPath)),
			Remedy:  "use the two files of the same set",
		}
	}
	return X, labels, nil
}

// readIDX checks the file and hands its items to add, one by one; an item is
// valid during the call only.
func readIDX(path string, magic uint32, add func(item []byte)) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("dataset: %w", err)
	}
	defer f.Close() // opened for reading: nothing to lose
	br := bufio.NewReaderSize(f, 1<<16)
	var r io.Reader = br
	if start, _ := br.Peek(2); bytes.Equal(start, []byte{0x1f, 0x8b}) {
		if r, err = gzip.NewReader(br); err != nil {
			return idxReadError(path, "the gzip header", err)
		}
	}
	n, size, err := readIDXHeader(r, path, magic)
	if err != nil {
		return err
	}
	item := make([]byte, size)
	for i := range n {
		if _, err := io.ReadFull(r, item); err != nil {
			return idxReadError(path, fmt.Sprintf("item %d of %d", i+1, n), err)
		}
		add(item)
	}
	switch _, err := io.ReadFull(r, item[:1]); { // at the end, gzip checks its checksum
	case err == nil:
		return &Error{
			File:    path,
			Problem: fmt.Sprintf("there is more in the file than the %d items its header says", n),
			Remedy:  "fetch the file again",
		}
	case !errors.Is(err, io.EOF):
		return idxReadError(path, "the end", err)
	}
	return nil
}

// readIDXHeader returns the number of items and the bytes of each.
func readIDXHeader(r io.Reader, path string, magic uint32) (n, size int, err error) {
	head := make([]byte, 4+4*(magic&0xff))
	if _, err := io.ReadFull(r, head[:4]); err != nil {
		return 0, 0, idxReadError(path, "the header", err)
	}
	if got := binary.BigEndian.Uint32(head); got != magic {
		return 0, 0, idxMagicError(path, got, magic)
	}
	if _, err := io.ReadFull(r, head[4:]); err != nil {
		return 0, 0, idxReadError(path, "the header", err)
	}
	items, pixels := uint64(binary.BigEndian.Uint32(head[4:])), uint64(1)
	for at := 8; at < len(head); at += 4 {
		pixels *= uint64(binary.BigEndian.Uint32(head[at:])) // two factors of 32 bits
	}
	if items == 0 || pixels == 0 || pixels > maxImagePixels || items > maxIDXBytes/pixels {
		return 0, 0, &Error{
			File:    path,
			Problem: fmt.Sprintf("the header says %d items of %d bytes each", items, pixels),
			Remedy:  "check that the file is an intact idx file",
		}
	}
	return int(items), int(pixels), nil
}

func idxMagicError(path string, got, want uint32) *Error {
	e := &Error{
		File:    path,
		Problem: fmt.Sprintf("the magic number is %d, want %d", got, want),
		Remedy:  "check that the file is an idx file of unsigned bytes",
	}
	if got == magicImages || got == magicLabels {
		e.Remedy = "the image and the label file seem to be exchanged"
	}
	return e
}

// idxReadError reports that what could not be read: an Error if the file is
// cut short or damaged, otherwise the cause wrapped.
func idxReadError(path, what string, err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{File: path, Problem: "the file ends before or within " + what, Remedy: "fetch the file again"}
	case errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt):
		return &Error{File: path, Problem: fmt.Sprintf("the compressed file is damaged at %s: %v", what, err), Remedy: "fetch the file again"}
	}
	return fmt.Errorf("dataset: %s: reading %s: %w", printable(path), what, err)
}
